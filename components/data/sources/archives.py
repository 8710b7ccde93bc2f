"""Zip archives, of pictures or of a whole data set: what is in them is laid out for as long as it is read."""

import zipfile
from pathlib import Path

from components.errors import UserError

ZIP = ".zip"


def archives(folder: Path) -> list[Path]:
    """The zip archives in a folder."""
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() == ZIP and path.is_file()]


def unpack(archive: Path, below: Path) -> Path:
    """The folder, below `below`, with what is in the archive; unpacked once. What a Mac adds is left out.

    Raises:
        UserError: no zip, damaged, or locked by a password; names the member.
    """
    place = below / archive.stem
    if place.exists():
        return place
    member = ""
    try:
        with zipfile.ZipFile(archive) as opened:
            place.mkdir(parents=True)
            for member in opened.namelist():
                if not member.startswith("__MACOSX/") and not Path(member).name.startswith("."):
                    opened.extract(member, place)  # which lets no name lead out of the folder
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, ValueError) as error:
        at = f": {member}" if member else ""
        raise UserError(f"{archive}{at}: cannot be unpacked: {' '.join(str(error).split())}.") from None
    return place
