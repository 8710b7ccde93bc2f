"""What DVC can watch of a folder: files whose names are Unicode, and no folder behind a link.

DVC hashes `data.folder` before the stage that reads it. What a link to a file leads to is hashed; a link to a
folder is passed over, so that a change behind it would never be seen. At a name that is not UTF-8 it stops.
"""

import os
from pathlib import Path

from components.errors import UserError

SHOWN = 3


def require_watchable(folder: str | Path) -> None:
    """Nothing lies in `folder` that DVC passes over or stops at.

    Raises:
        UserError: names the links, or the files, and says what to do.
    """
    links, names = _odd(folder)
    if names:
        raise UserError(
            f"{folder}: names that are not UTF-8: {_some(names)}. DVC stops at them. Rename them, and in "
            "your tables, too; `convmv -f latin1 -t utf8 -r --notest FOLDER` does it for a whole folder."
        )
    if links:
        raise UserError(
            f"{folder}: links to folders: {_some(links)}. DVC does not look behind them and would never see "
            "a change there. Copy what is behind them, or set data.folder to it (an absolute path, which DVC "
            "watches); links to files are fine. Or take the link away and set data.images to the folder: "
            "then `dvc repro -f prepare` is needed after a change."
        )


def _odd(folder: str | Path) -> tuple[list[str], list[str]]:
    """Links to folders as 'link -> target', and names that are not UTF-8. `folder` may be a link itself."""
    links: list[str] = []
    names: list[str] = []
    for place, folders, files in os.walk(folder):
        found = [Path(place, name) for name in folders]
        links += [f"{path} -> {path.readlink()}" for path in found if path.is_symlink()]
        names += [str(Path(place, name)) for name in (*folders, *files) if not _is_unicode(name)]
    return sorted(links), sorted(names)


def _is_unicode(name: str) -> bool:
    """Whether its bytes are UTF-8: Python keeps others as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _some(found: list[str]) -> str:
    shown = ", ".join(os.fsencode(each).decode("utf-8", "backslashreplace") for each in found[:SHOWN])
    return f"{shown} and {len(found) - SHOWN} more" if len(found) > SHOWN else shown
