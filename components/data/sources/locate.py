"""Where a picture lies that a table names: with a folder before the name, absolute, or without ending."""

import difflib
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePath

from components.data.clips import ENDINGS
from components.errors import UserError

DEPTH = 4  # of folders below data.folder that are looked through
SIMILAR = 0.8
MANY = 3000  # files in a folder: comparing a name with more of them would take too long


def locate(name: str | None, pictures: Path, folder: Path, beside: Path) -> tuple[Path, str | None]:
    """(a folder, the name relative to it) of a picture; (`pictures`, `name`) if it is not found.

    Nothing outside of the three folders is found.

    Args:
        pictures: where it should lie
        folder: data.folder
        beside: where the file lies that names it
    """
    for spelling in dict.fromkeys((name, name.replace("\\", "/"))) if name else ():
        for place, rest in _candidates(spelling, pictures, folder, beside):
            if is_file(place / rest):
                return place, rest
    return pictures, name


def _candidates(name: str, pictures: Path, folder: Path, beside: Path) -> Iterator[tuple[Path, str]]:
    parts, places = PurePath(name).parts, tuple(dict.fromkeys((pictures, folder, beside)))
    if PurePath(name).is_absolute() or ".." in parts:
        for place in places:
            for base in dict.fromkeys((place.absolute(), place.resolve())):
                path = PurePath(os.path.normpath(base / name))
                if path.is_relative_to(base):
                    yield place, path.relative_to(base).as_posix()
        return
    yield pictures, name
    tail = pictures.absolute().parts
    for length in range(1, len(parts)):  # train/a.jpg, in train/
        if parts[:length] == tail[-length:]:
            yield pictures, PurePath(*parts[length:]).as_posix()
    for place in places[1:]:
        yield place, name
    if len(found := _with_ending(pictures, name)) == 1:
        yield pictures, found[0]


def has(place: Path, name: str) -> bool:
    """Whether the picture `name` lies in `place`."""
    return is_file(place / name) or bool(_with_ending(place, name))


def _with_ending(place: Path, name: str) -> list[str]:
    """The files that `name` may mean, if it has no ending of its own; 139 may be 000000000139.jpg."""
    if PurePath(name).suffix.lower() in ENDINGS:
        return []
    found = [f"{name}{ending}" for ending in ENDINGS if is_file(place / f"{name}{ending}")]
    return found or (_numbered(str(place)).get(int(name), []) if name.isdecimal() else [])


@lru_cache(maxsize=64)
def _numbered(folder: str) -> dict[int, list[str]]:
    """Number -> pictures that are named by it, with zeros before it, and COCO's prefix or none."""
    found: dict[int, list[str]] = defaultdict(list)
    for name in _listing(folder):
        file = PurePath(name)
        number = re.fullmatch(r"(?:COCO_\w+_)?0*(\d+)", file.stem)
        if number and file.suffix.lower() in ENDINGS:
            found[int(number[1])].append(name)
    return found


def is_file(path: Path) -> bool:
    """Whether it is one; no name that a file system cannot have is one."""
    try:
        return path.is_file()
    except OSError:
        return False


def common_root(folders: Sequence[Path]) -> Path:
    """The folder that all of them lie in, as an absolute path."""
    return Path(os.path.commonpath([folder.absolute() for folder in folders])) if folders else Path()


def find_folder(names: Sequence[str], below: Path, split: str | None) -> Path | None:
    """The folder below `below` that has most of the files `names`; of equals that of the `split`.

    Raises:
        UserError: there are several.
    """
    names = [name for name in names if not PurePath(name).is_absolute()]
    hits: dict[int, list[Path]] = defaultdict(list)
    for place in _folders(below):
        number = sum(has(place, name) for name in names)
        hits[number].append(place)
    best = max(hits, default=0)
    if not best:
        return None
    found = [place for place in hits[best] if split and place.name.lower().startswith(split)] or hits[best]
    if len(found) > 1:
        several = ", ".join(map(str, found[:5]))
        raise UserError(f"{names[0]} lies in several folders: {several}. Say which: data.images.")
    return found[0]


def _folders(below: Path) -> Iterator[Path]:
    """`below` and the folders in it, hidden ones left out."""
    depth = len(below.parts)
    for place, inside, _ in os.walk(below):
        path = Path(place)
        inside[:] = [each for each in sorted(inside) if not each.startswith(".")]
        if len(path.parts) - depth >= DEPTH:
            inside.clear()
        yield path


def not_found(root: Path, name: str) -> str:
    """Where a missing file was looked for, and what lies there instead: 'a.jpg is not in raw/images, ...'."""
    place = (root / name).parent
    while not place.is_dir() and place != root:
        place = place.parent
    told = f"{name}: looked in {place}"
    if near := _near(root, place, PurePath(name)):
        return f"{told}; near it: {near}"
    return f"{told}, which has {len(_listing(str(place)))} files, none with a similar name"


def _near(root: Path, place: Path, name: PurePath) -> str:
    files = _listing(str(place))
    by_stem = {
        PurePath(file).stem.lower(): file for file in files if PurePath(file).suffix.lower() in ENDINGS
    }
    if same := by_stem.get(name.stem.lower()):
        return same
    if elsewhere := _index(str(root)).get(name.name.lower()):
        return elsewhere
    close = difflib.get_close_matches(name.name, files, 1, SIMILAR) if len(files) <= MANY else []
    return close[0] if close else ""


@lru_cache(maxsize=64)
def _listing(folder: str) -> list[str]:
    path = Path(folder)
    return sorted(each.name for each in path.iterdir() if each.is_file()) if path.is_dir() else []


@lru_cache(maxsize=2)
def _index(root: str) -> dict[str, str]:
    """Name in lower case -> path below `root`."""
    return {
        name.lower(): (Path(place, name).relative_to(root)).as_posix()
        for place, _, names in os.walk(root)
        for name in names
    }
