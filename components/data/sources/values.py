"""Values of other people's tables as ours: ids and other text, names of files, names of splits."""

import re
from pathlib import PurePosixPath
from typing import Any

from components.data.tables import SPLITS

WORD = re.compile("[A-Z]?[a-z]+|[A-Z]+")
SYNONYMS = {
    **dict.fromkeys(("training", "restval", "trn"), "train"),
    **dict.fromkeys(("validation", "validate", "valid", "dev", "development", "eval", "evaluation"), "val"),
    **dict.fromkeys(("testing", "tst"), "test"),
}


def split_name(value: Any) -> str | None:
    """The split as our tables call it: 'Validation' is val; what is unknown stays, and becomes a fault."""
    name = plain_text(value)
    return name and SYNONYMS.get(name.lower(), name.lower() if name.lower() in SPLITS else name)


def split_in(name: str) -> str | None:
    """The split that a file or folder is named after: train2017 is train, Flickr_8k.devImages is val; None if
    it is of none, or of several.
    """
    splits = {split for word in WORD.findall(name) if (split := split_name(word)) in SPLITS}
    return splits.pop() if len(splits) == 1 else None


def file_name(value: Any) -> str | None:
    """Without './' and '//': the name under which the picture will be found again."""
    name = plain_text(value)
    return name and PurePosixPath(name).as_posix()


def plain_text(value: Any) -> str | None:
    """Ids may be numbers (a spreadsheet makes 12.0 of 12); what is neither number nor text is missing."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().strip() or None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return None
    return str(int(value)) if value == int(value) else str(value)


CLEAN = {"split": split_name, "file": file_name}
"""Column -> what makes its values ours, where it is not `plain_text`."""
