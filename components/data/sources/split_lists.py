"""Lists of the pictures of each split, as Flickr8k and Flickr30k have them: a name a line.

Flickr_8k.trainImages.txt, Flickr_8k.devImages.txt, Flickr_8k.testImages.txt; train.txt, val.txt, test.txt
"""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath

from components.data.sources.json_rows import is_picture
from components.data.sources.text_files import read_text
from components.data.sources.values import split_in, split_name
from components.errors import UserError

LIST = ".txt"
LOOKED_AT = 1000  # lines of a file that may be a list


class SplitLists:
    """Which split a picture is in, by the name of its file without folder and ending.

    Raises:
        UserError: a picture is in the lists of two splits.
    """

    def __init__(self, files: Mapping[Path, str | None]):
        self.files = ", ".join(map(str, files))
        self._split: dict[str, str] = {}
        for file, given in files.items():
            split = split_name(given)
            for name in _names(file):
                if self._split.setdefault(stem(name), split) != split:
                    raise UserError(f"{file}: {name} is in the list of {self._split[stem(name)]}, too.")

    def of(self, name: str | None) -> str | None:
        """The split of the picture `name`; None if no list has it."""
        return self._split.get(stem(name)) if name else None


def split_lists(files: Iterable[Path]) -> dict[Path, str]:
    """Those of `files` that are lists, with the split that their name says; none, unless of two splits."""
    found = {
        file: split
        for file in files
        if file.suffix.lower() == LIST and (split := split_in(file.stem)) and is_list(file)
    }
    return found if len({*found.values()}) > 1 else {}


def is_list(file: Path) -> bool:
    """Whether every line is the name of a picture, or a number that may be one, and nothing else."""
    try:
        names = _names(file)[:LOOKED_AT]
    except UserError:
        return False
    return bool(names) and all(is_picture(name) or name.isdecimal() for name in names)


def _names(file: Path) -> list[str]:
    return [line.strip() for line in read_text(file).split("\n") if line.strip()]


def stem(name: str) -> str:
    """Without folder and ending."""
    last = PurePath(name.replace("\\", "/")).name
    return PurePath(last).stem if is_picture(last) else last
