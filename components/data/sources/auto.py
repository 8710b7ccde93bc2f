"""`data.source: auto`: what lies in `data.folder`, recognised by what is in the files, not by their names."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.data.clips import ENDINGS
from components.data.sources.archives import ZIP, archives, unpack
from components.data.sources.columns import IMAGE, VIDEO, choose
from components.data.sources.folders import DATASET, DATASET_DICT, METADATA, parts
from components.data.sources.json_rows import read_content, rows_of_object
from components.data.sources.records import KINDS, read_records
from components.data.sources.split_lists import split_lists
from components.data.sources.text_files import Tell, suffix_of
from components.data.sources.values import split_in
from components.errors import UserError

AUTO = "auto"
# Of several in a folder, the first is taken.
ORDER = ("karpathy", "coco", "msrvtt", "video", "webdataset", "table")
STATISTICS = "_stats.json"  # of img2dataset
SHARDS = (".tar", ".tgz")
SHOWN, REASONS = 8, 3


class Recognised(NamedTuple):
    """The source that reads the data, its data.annotations, what the user is told, and data.split_lists."""

    source: str
    annotations: Any
    notes: list[str]
    split_lists: dict[str, list[str]]


class Found(NamedTuple):
    """The same, of a folder that was looked into, with the files that are not read."""

    source: str
    annotations: Any
    left: Sequence[Path] = ()


def recognise(folder: Path, annotations: Any = None, unpacked: Path | None = None) -> Recognised:
    """What `annotations` are, or if they are not given, what lies in `folder`, or in a zip archive there.

    Args:
        unpacked: below it, archives are unpacked; without it, none is

    Raises:
        UserError: nothing that is known, or several tables of which one must be chosen.
    """
    if not folder.is_dir():
        raise UserError(f"data.folder: {folder}: no such folder.")
    lists = split_lists(_candidates(folder))
    if annotations:
        found = Found(_of_given(folder, annotations), annotations)
    else:
        found = _look(folder, lists, unpacked)
    told = found.annotations
    if unpacked:
        told = json.loads(json.dumps(told).replace(f"{unpacked.absolute()}/", "unpacked: "))
    notes = [f"auto: data.source: {found.source}, data.annotations: {json.dumps(told)}"]
    if found.left:
        names = [path.relative_to(folder).as_posix() for path in found.left]
        notes.append(f"auto: not read: {', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''}")
    by_split: dict[str, list[str]] = defaultdict(list)
    if found.source == "table":
        for file, split in lists.items():
            by_split[split].append(_name(file, folder))
        notes += [f"auto: data.split_lists: {json.dumps(by_split)}"] if by_split else []
    return Recognised(found.source, found.annotations, notes, by_split)


def kind_of(file: Path, why_not: Tell | None = None) -> str | None:
    """The source that reads `file`; None if it has no captions, and `why_not` is told."""
    if suffix_of(file) in SHARDS:
        return "webdataset"
    try:
        content = read_content(file, _quietly) if suffix_of(file) == ".json" else None
        if isinstance(content, dict) and (kind := _kind_of_object(content)) != "table":
            if kind is None:
                (why_not or _quietly)(
                    f"{file.name}: an object with {', '.join(list(content)[:5])}, in no form that is known; "
                    "if these are names of pictures, set data.source: table."
                )
            return kind
        names = read_records(file, _quietly).names
        choose(file.name, names, images=(*VIDEO, *IMAGE))
        return "video" if any(name in names for name in VIDEO) else "table"
    except UserError as error:
        (why_not or _quietly)(str(error))
        return None


def _kind_of_object(content: dict[str, Any]) -> str | None:
    """Of JSON files that are an object, by their lists."""
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
    return "table" if rows_of_object(content) else None


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


def _look(folder: Path, lists: Collection[Path], unpacked: Path | None) -> Found:
    """What lies in `folder`, or else in an archive there."""
    reasons: list[str] = []
    if found := _convention(folder) or _tables(folder, lists, reasons.append) or _sidecars(folder):
        return found
    for archive in archives(folder) if unpacked else []:
        inside = unpack(archive, unpacked)
        for place in (inside, *_folders(inside)):
            if found := _convention(place) or _tables(place, (), reasons.append) or _sidecars(place):
                return Found(found.source, _below(place.absolute(), found.annotations))
    inside_it = ", ".join(sorted(path.name for path in folder.iterdir())[:SHOWN]) or "nothing"
    raise UserError(
        " ".join(
            [
                f"{folder}: no captions recognised. In it: {inside_it}.",
                *(reasons or _unknown(folder))[:REASONS],
                f"Known are tables ({', '.join(KINDS)}), COCO's and Karpathy's JSON, folders with "
                "metadata.jsonl, NAME.txt beside NAME.jpg, and zip archives of these; or name data.source "
                "and data.annotations.",
            ]
        )
    )


def _convention(folder: Path) -> Found | None:
    """A data set of the library `datasets`, or an ImageFolder."""
    for place in (folder, *_folders(folder)):
        if (place / DATASET_DICT).is_file() or (place / DATASET).is_file():
            return Found("table", _name(place, folder))
    if any((place / name).is_file() for place in (folder, *_of_splits(folder)) for name in METADATA):
        return Found("table", ".")
    return None


def _tables(folder: Path, lists: Collection[Path], why_not: Tell) -> Found | None:
    """Files with captions, in `folder` and the folders in it."""
    kinds: dict[str | None, list[Path]] = defaultdict(list)
    for file in _candidates(folder):
        if file not in lists:
            kinds[kind_of(file, why_not)].append(file)
    for kind in ORDER:
        if files := kinds.pop(kind, []):
            left = [file for others in kinds.values() for file in others]
            files, same = (files, []) if kind == "webdataset" else _different(files)
            return Found(kind, _annotations(files, folder), [*left, *same])
    return None


def _sidecars(folder: Path) -> Found | None:
    """Text files beside pictures."""
    for place in (folder, *_folders(folder)):
        try:
            next(parts(place, None, _quietly))
        except UserError:
            continue
        return Found("table", _name(place, folder))
    return None


def _unknown(folder: Path) -> list[str]:
    """What is said of files that may be meant, though their ending is not known."""
    said: list[str] = []
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix.lower() not in (*ENDINGS, ZIP) and file.name[0] != ".":
            kind_of(file, said.append)
    return said


def _below(place: Path, annotations: Any) -> Any:
    """Names of files in `place` as absolute paths."""
    if isinstance(annotations, dict):
        return {split: _below(place, names) for split, names in annotations.items()}
    if isinstance(annotations, list):
        return [_below(place, name) for name in annotations]
    return str(place / annotations)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _of_splits(folder: Path) -> list[Path]:
    return [path for path in _folders(folder) if split_in(path.name)]


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
        by_split[split_in(file.name.split(".")[0]) or split_in(file.parent.name)].append(name)
    if None not in by_split and all(_shards(several) for several in by_split.values()):
        return {split: each[0] if len(each) == 1 else each for split, each in by_split.items()}
    if _shards(names):
        return names
    raise UserError(f"{folder}: several tables: {', '.join(names[:SHOWN])}. Say which: data.annotations.")


def _shards(names: list[str]) -> bool:
    return len({re.sub(r"\d+", "0", name) for name in names}) == 1
