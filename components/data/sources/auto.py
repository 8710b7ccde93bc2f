"""`data.source: auto`: what lies in `data.folder`, recognised by what is in the files, not by their names."""

import hashlib
import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from components.data.sources.base import split_name
from components.data.sources.columns import IMAGE, VIDEO, choose
from components.data.sources.folders import DATASET, DATASET_DICT, METADATA, parts
from components.data.sources.locate import ENDINGS
from components.data.sources.records import KINDS, read_records
from components.data.sources.text_files import read_text, suffix_of
from components.data.tables import SPLITS
from components.errors import UserError

AUTO = "auto"
# Of several in a folder, the first is taken.
ORDER = ("karpathy", "coco", "msrvtt", "video", "webdataset", "table")
WORD = re.compile("[a-z]+")
STATISTICS = "_stats.json"  # of img2dataset
SHARDS = (".tar", ".tgz")
SHOWN = 8


class Recognised(NamedTuple):
    """The source that reads the data, its data.annotations, and what the user is told."""

    source: str
    annotations: Any
    notes: list[str]


def recognise(folder: Path, annotations: Any = None) -> Recognised:
    """What `annotations` are, or if they are not given, what lies in `folder`.

    Raises:
        UserError: nothing that is known, or several tables of which one must be chosen.
    """
    if not folder.is_dir():
        raise UserError(f"data.folder: {folder}: no such folder.")
    left: list[Path] = []
    if annotations:
        source = _of_given(folder, annotations)
    else:
        source, annotations, left = _look(folder)
    notes = [f"auto: data.source: {source}, data.annotations: {json.dumps(annotations)}"]
    if left:
        names = [path.relative_to(folder).as_posix() for path in left]
        notes.append(f"auto: not read: {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}")
    return Recognised(source, annotations, notes)


def kind_of(file: Path) -> str | None:
    """The source that reads `file`; None if it has no captions."""
    if suffix_of(file) in SHARDS:
        return "webdataset"
    try:
        content = json.loads(read_text(file)) if suffix_of(file) == ".json" else []
        if isinstance(content, dict) and (kind := _kind_of_object(content)) != "names":
            return kind
        names = read_records(file, _quietly).names
        choose(file, names, images=(*VIDEO, *IMAGE))
        return "video" if any(name in names for name in VIDEO) else "table"
    except (UserError, ValueError, RecursionError):
        return None


def _kind_of_object(content: dict[str, Any]) -> str | None:
    """Of JSON files that are an object, by their lists; 'names' if its keys are names of pictures."""
    first = {
        key: value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}
        for key, value in content.items()
    }
    if "sentences" in first.get("images", {}):
        return "karpathy"
    if "caption" in first.get("annotations", {}) and "images" in content:
        return "coco"
    if "videos" in content and "caption" in first.get("sentences", {}):
        return "msrvtt"
    return "names" if content and Path(next(iter(content))).suffix.lower() in ENDINGS else None


def _quietly(note: str) -> None:
    """What is read only to be recognised is told when it is read for good."""


def _of_given(folder: Path, annotations: Any) -> str:
    given = [*annotations.values()] if isinstance(annotations, dict) else annotations
    several = [given] if isinstance(given, str) else given
    first = folder / (several[0] if isinstance(several[0], str) else several[0][0])
    if not first.exists():
        raise UserError(f"data.annotations: {first}: no such file.")
    if first.is_dir():
        return "webdataset" if next(first.rglob("*.tar"), None) else "table"
    if kind := kind_of(first):
        return kind
    read_records(first, _quietly)  # says what is wrong with it, if it is no table
    raise UserError(f"{first}: no captions in it. Is this the right file?")


def _look(folder: Path) -> tuple[str, Any, list[Path]]:
    """(source, annotations, files that are not read)."""
    for place in (folder, *_folders(folder)):
        if (place / DATASET_DICT).is_file() or (place / DATASET).is_file():
            return "table", _name(place, folder), []
    if any((place / name).is_file() for place in (folder, *_of_splits(folder)) for name in METADATA):
        return "table", ".", []
    kinds: dict[str | None, list[Path]] = defaultdict(list)
    for file in _candidates(folder):
        kinds[kind_of(file)].append(file)
    for kind in ORDER:
        if files := kinds.pop(kind, []):
            left = [file for others in kinds.values() for file in others]
            files, same = (files, []) if kind == "webdataset" else _different(files)
            return kind, _annotations(files, folder), [*left, *same]
    for place in (folder, *_folders(folder)):
        try:
            next(parts(place, None, _quietly))
        except UserError:
            continue
        return "table", _name(place, folder), []
    inside = ", ".join(sorted(path.name for path in folder.iterdir())[:SHOWN]) or "nothing"
    raise UserError(
        f"{folder}: no captions recognised. In it: {inside}. Known are tables ({', '.join(KINDS)}), "
        "COCO's and Karpathy's JSON, folders with metadata.jsonl, and NAME.txt beside NAME.jpg; or name "
        "data.source and data.annotations."
    )


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _of_splits(folder: Path) -> list[Path]:
    return [path for path in _folders(folder) if split_name(path.name) in SPLITS]


def _candidates(folder: Path) -> list[Path]:
    """Files in `folder` and the folders in it that may be tables; none that belong to one picture."""
    found = []
    for place in (folder, *_folders(folder)):
        files = [path for path in sorted(place.iterdir()) if path.is_file() and path.name[0] != "."]
        pictures = {path.stem for path in files if path.suffix.lower() in ENDINGS}
        tables = [
            path for path in files if suffix_of(path) in (*KINDS, *SHARDS) and path.stem not in pictures
        ]
        found += [path for path in tables if not path.name.endswith(STATISTICS)]
    shards = {path.with_suffix("") for path in found if path.suffix in SHARDS}
    return [path for path in found if path.suffix in SHARDS or path.with_suffix("") not in shards]


def _different(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Files, and those that are copies of one of them."""
    first: dict[str, Path] = {}
    for file in files:
        first.setdefault(hashlib.sha256(file.read_bytes()).hexdigest(), file)
    kept = list(first.values())
    return kept, [file for file in files if file not in kept]


def _annotations(files: list[Path], folder: Path) -> Any:
    """One file; files by split, if their names say it; or shards, if the names differ by numbers alone."""
    names = [_name(file, folder) for file in files]
    if len(files) == 1:
        return names[0]
    by_split: dict[str | None, list[str]] = defaultdict(list)
    for file, name in zip(files, names, strict=True):
        by_split[_split_in(file.stem) or _split_in(file.parent.name)].append(name)
    if None not in by_split and all(_shards(several) for several in by_split.values()):
        return {split: each[0] if len(each) == 1 else each for split, each in by_split.items()}
    if _shards(names):
        return names
    raise UserError(f"{folder}: several tables: {', '.join(names[:SHOWN])}. Say which: data.annotations.")


def _split_in(name: str) -> str | None:
    """The split that a word of `name` says, if no other word says another."""
    splits = {split for word in WORD.findall(name.lower()) if (split := split_name(word)) in SPLITS}
    return splits.pop() if len(splits) == 1 else None


def _shards(names: list[str]) -> bool:
    return len({re.sub(r"\d+", "0", name) for name in names}) == 1
