"""Folders that are a data set by convention: ImageFolder, `save_to_disk`, text files beside the pictures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from components.data.clips import ENDINGS
from components.data.sources.json_rows import Rows
from components.data.sources.records import Records, of_list, read_records
from components.data.sources.text_files import Tell, read_text
from components.data.sources.values import split_in
from components.errors import UserError

METADATA = tuple(f"metadata{ending}" for ending in (".jsonl", ".csv", ".parquet"))
SIDECARS = (".txt", ".caption")
DATASET_DICT, DATASET = "dataset_dict.json", "state.json"  # what `datasets` writes into a folder


class Part(NamedTuple):
    """One table of a data set."""

    file: Path  # or the folder of text files
    split: str | None
    records: Records


def parts(path: Path, split: str | None, tell: Tell) -> Iterator[Part]:
    """The table `path`, or the tables of a folder: its own, or those of its folders train, val and test.

    Raises:
        UserError: a folder of no known convention; names what lies in it.
    """
    if not path.is_dir():
        yield Part(path, split, read_records(path, tell))
        return
    found = list(_saved(path, split) or _metadata(path, split, tell))
    if found:
        for file, name in found:
            yield Part(file, name, read_records(file, tell))
        return
    if sidecars := list(_sidecars(path, split)):
        yield from sidecars
        return
    lies = ", ".join(sorted(each.name for each in path.iterdir())[:8]) or "nothing"
    raise UserError(
        f"{path}: a folder without {', '.join(METADATA)}, without pictures that have a .txt beside them, and "
        f"not what `datasets` saves. In it: {lies}."
    )


def _saved(path: Path, split: str | None) -> list[tuple[Path, str | None]]:
    """The Arrow files of a data set that `datasets.save_to_disk` wrote."""
    if (path / DATASET_DICT).is_file():
        names = json.loads((path / DATASET_DICT).read_text(encoding="utf-8"))["splits"]
        return [each for name in names for each in _saved(path / name, name)]
    if not (path / DATASET).is_file():
        return []
    files = json.loads((path / DATASET).read_text(encoding="utf-8"))["_data_files"]
    return [(path / file["filename"], split) for file in files]


def _metadata(path: Path, split: str | None, tell: Tell) -> Iterator[tuple[Path, str | None]]:
    inside = [each for each in sorted(path.iterdir()) if each.is_dir()]
    named = [(name, folder) for folder in inside if (name := split_in(folder.name))]
    found = [
        (folder / name, of)
        for of, folder in [(split, path), *named]
        for name in METADATA
        if (folder / name).is_file()
    ]
    read = {file.parent for file, _ in found}
    if read - {path} and (left := [each.name for each in inside if each not in read]):
        tell(f"{path}: not read: {', '.join(f'{name}/' for name in left)} (folders of no split)")
    yield from found


def _sidecars(path: Path, split: str | None) -> Iterator[Part]:
    """Pictures with a text file of the same name beside them: a caption a line."""
    inside = [each for each in sorted(path.iterdir()) if each.is_dir()]
    of_split = [(each, name) for each in inside if (name := split_in(each.name))]
    for folder, name in of_split or [(path, split)]:
        files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
        texts = {_stem(file): file for file in files if file.suffix.lower() in SIDECARS}
        pictures = [file for file in files if file.suffix.lower() in ENDINGS]
        if any(picture.with_suffix("") in texts for picture in pictures):
            rows = list(_rows(folder, pictures, texts))
            yield Part(folder, name, of_list(rows))


def _stem(text: Path) -> Path:
    """Of a.txt, and of a.jpg.txt, too: a."""
    stem = text.with_suffix("")
    return stem.with_suffix("") if stem.suffix.lower() in ENDINGS else stem


def _rows(folder: Path, pictures: list[Path], texts: dict[Path, Path]) -> Rows:
    """A picture without text is a fault, and so is a text without picture where others have one."""
    for picture in pictures:
        text = texts.pop(picture.with_suffix(""), None)
        name = picture.relative_to(folder).as_posix()
        yield (text or picture).name, {"image": name, "caption": _lines(text) if text else []}
    for stem, text in texts.items():
        yield text.name, {"image": stem.relative_to(folder).as_posix(), "caption": _lines(text)}


def _lines(text: Path) -> list[str]:
    return [line.strip() for line in read_text(text).split("\n") if line.strip()]
