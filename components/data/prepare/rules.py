"""The single checks that `schema` is made of: each has a name, a reason and an advice."""

import difflib
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
import pyarrow.compute as pc
from ftfy.badness import is_bad

from components.data.tables import SPLITS
from components.errors import UserError

UNUSUAL = "[^ -~]"
"""What most captions are without: anything but printable ASCII."""

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and foreign line ends; tab and line feed are only white space."""

INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Direction marks, zero-width spaces, byte order marks; not the joiners, which scripts and emoji need."""

TAGS = (
    "a|abbr|article|b|blockquote|body|br|button|center|code|div|em|font|form|h[1-6]|head|hr|html|i|iframe|img"
    "|input|label|li|link|meta|ol|p|pre|s|script|section|small|span|strong|style|sub|sup|table|tbody|td|th|title"
    "|tr|u|ul|video"
)
MARKUP = re.compile(
    rf"<(?:{TAGS})\s*/?>|</[a-z][^<>]*>|<[a-z]+\s[^<>]*=[^<>]*>|<!--"
    r"|<\|[a-z]+\|>|&(?:[a-z]{2,8}|#\d{1,6});|https?://|www\.",
    re.IGNORECASE,
)
"""Tags, entities and addresses: what is left of a web page; and <|endoftext|>, GPT-2's own mark.

A mask such as <PERSON> is a word."""

CELLS = re.compile(r"\t|[\w-]\.(?:jpe?g|png|gif|webp|bmp|tiff?)\b", re.IGNORECASE)
"""A tab, or the name of a picture: what a row that was swallowed leaves in a caption."""

LIST = re.compile(
    r"""\s*(?:(?:np\.)?array\()?[\[(]+\s*['"{].*['"}]\s*[\])]+(?:,\s*dtype=.*\))?\s*|\s*\[[^\[\]]+,[^\[\]]+\]\s*""",
    re.DOTALL,
)
"""['a', 'b'], array(['a', 'b']), [a, b]: a list, where reading could make nothing of it."""

DOUBLE_BYTE = ("gbk", "big5", "cp932", "cp949")
"""Encodings of East Asia, which decode nearly every UTF-8 text without complaint."""

GLUED = re.compile("[A-Za-z][^ -~\\s]|[^ -~\\s][A-Za-z]")
"""A Latin letter beside another script's."""

DARK = 16
"""Mean grey, of 255: nearly black."""

EMPTY = 4
"""Standard deviation of grey: one colour, and what JPEG makes of it."""

BLURRED = 0.33
"""Sharpness (`components.data.looks`): a blur as wide as a hundredth of the picture, or wider."""

ODD_ASPECT = 3
"""Of the longer to the shorter side: the square crop keeps a third at most."""

SEVERITIES = ("report", "quarantine", "fail")


class Rule(NamedTuple):
    """Why a check is made, what to do about a fault, and what `prepare` does about it."""

    reason: str
    advice: str
    severity: str | None = None  # of SEVERITIES; None: data.on_invalid
    reportable: bool = True  # False: nothing downstream could use such a row
    removable: bool = True  # False: found when the data set is complete


BY_EMBEDDING = "leak-by-embedding"

RULES: dict[str, Rule] = {
    "column_in_dataframe": Rule("a column is missing", "write the table anew", reportable=False),
    "dtype": Rule("a column has values of the wrong type", "write the table anew", reportable=False),
    BY_EMBEDDING: Rule(
        "the tower sees nearly the same picture in two splits (stage `features`)",
        "look at near_twins.png",
        severity="report",
        removable=False,
    ),
}
"""Name of a check -> its reason and advice; filled by `rule`."""

ACROSS = "across"
"""Key of a column's metadata."""


def rule(name: str, check: Callable, reason: str, advice: str, **about: Any) -> pa.Check:
    """A check called `name` over a whole column or table; missing values are given to it like all others.

    `about` is of `Rule`.
    """
    RULES[name] = Rule(reason, advice, **about)
    return pa.Check(check, error=name, ignore_na=False)


def across(name: str, check: Callable[[pd.DataFrame], pd.Series], *told: str, **about: Any) -> pa.Column:
    """A rule over several columns, as a column called `name` that `schema.with_rules` fills with what `check`
    says.

    Of a check over a whole table pandera keeps every faulty row, once a column: GBs for a million pictures.
    `told` and `about` are as in `rule`.
    """
    held = rule(name, lambda values: values, *told, **about)
    return pa.Column(bool, held, name=name, metadata={ACROSS: check})


def by_name(*columns: pa.Column) -> dict[str, pa.Column]:
    """As a schema takes them."""
    return {column.name: column for column in columns}


def found(problem: str, reason: str, advice: str) -> pa.Check:
    """A check that reading or decoding has not ended in `problem`."""
    check = partial(_is_not, problem)
    return rule(problem, check, reason, advice, reportable=False)


def _is_not(problem: str, problems: pd.Series) -> pd.Series:
    return problems.fillna("") != problem


def severities(on_invalid: str, given: Mapping[str, str]) -> dict[str, str]:
    """Rule -> what is done about its faults: what `given` says, else the rule's own way, else `on_invalid`.

    Raises:
        UserError: no such rule; `report` for one whose rows nothing downstream could use; `quarantine` for
        one that looks at a complete data set.
    """
    for name, severity in given.items():
        if name not in RULES:
            near = difflib.get_close_matches(name, RULES, 3) or RULES
            raise UserError(f"data.severity: no rule {name!r}. Near it: {', '.join(near)}.")
        if severity == "report" and not RULES[name].reportable:
            raise UserError(
                f"data.severity: {name} cannot be 'report': nothing could be done with such a row. "
                "Take quarantine or fail."
            )
        if severity == "quarantine" and not RULES[name].removable:
            raise UserError(
                f"data.severity: {name} cannot be 'quarantine': it is found when the data set is complete. "
                "Take report or fail."
            )
    return {name: given.get(name) or rule.severity or on_invalid for name, rule in RULES.items()}


def filled(values: pd.Series) -> pd.Series:
    """Neither missing nor white space."""
    return values.fillna("").str.strip() != ""


def mojibake(text: str) -> bool:
    """Whether it was decoded with the wrong encoding, or has bytes that could not be decoded at all."""
    return "\ufffd" in text or is_bad(text) or any(_is_utf8_as(text, name) for name in DOUBLE_BYTE)


def _is_utf8_as(text: str, encoding: str) -> bool:
    """Whether UTF-8 was read as a double-byte encoding: its bytes are UTF-8, and scripts are glued together.

    ftfy does not look for these: 'caf茅' was 'café', and a byte order mark becomes '锘'.
    """
    if not GLUED.search(text):
        return False
    try:
        return not text.encode(encoding).decode("utf-8").isascii()
    except UnicodeError:
        return False


def without(found: Callable[[str], object], hint: str = UNUSUAL) -> Callable[[pd.Series], pd.Series]:
    """A check that `found` is true of no text.

    `hint` is an expression that matches wherever `found` is true: Arrow looks for it ten times as fast as
    Python does, and most texts are done with that.
    """

    def check(texts: pd.Series) -> pd.Series:
        suspects = texts[texts.fillna("").str.contains(hint)]
        guilty = [label for label, text in suspects.items() if found(text)]
        return pd.Series(~texts.index.isin(guilty), texts.index)

    return check


def legible(keys: pd.Series) -> pd.Series:
    """A letter or digit is left after Unicode normalisation; empty texts are another check's matter."""
    clear = (keys == "") | keys.str.contains("[0-9a-z]")
    unclear = keys[~clear]
    clear.loc[unclear.index] = np.array([any(map(str.isalnum, key)) for key in unclear], dtype=bool)
    return clear


def number_of_words(texts: pd.Series) -> pd.Series:
    """Between white space; of what is missing, 0."""
    words = pc.utf8_split_whitespace(
        pc.utf8_trim_whitespace(pyarrow.array(texts.fillna(""), pyarrow.large_string()))
    )
    counts = pc.list_value_length(words).to_numpy()
    return pd.Series(counts, texts.index).where(filled(texts), 0)


def normal_forms(texts: pd.Series) -> pd.Series:
    """What two captions that a reader takes for the same have in common: NFKC, lower case, single spaces."""
    keys = texts.fillna("").str.lower()
    odd = texts[keys.str.contains(f"{UNUSUAL}|  |^ | $")]
    keys.loc[odd.index] = np.array([normal_form(text) for text in odd], dtype=object)
    return keys


def normal_form(text: str) -> str:
    """See `normal_forms`."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def ambiguous_ids(images: pd.DataFrame) -> pd.Series:
    """An id that stands for one file only."""
    distinct = images.groupby("image_id")["file_name"].transform("nunique")
    return ~(distinct > 1)


def clear(images: pd.DataFrame) -> pd.Series:
    """Not blurred, as far as there is anything to see."""
    return ~(images["sharpness"] < BLURRED) | (images["contrast"] < EMPTY)


def usual_aspect(images: pd.DataFrame) -> pd.Series:
    """Neither side is more than `ODD_ASPECT` times the other; unknown sizes are another check's matter."""
    sides = images[["width", "height"]].astype("float64")
    return ~(sides.max(axis=1) > ODD_ASPECT * sides.min(axis=1))


def no_near_leak(images: pd.DataFrame) -> pd.Series:
    """As `in_one_split` of near twins; of equal files that rule itself tells."""
    return in_one_split("twins")(images) | ~in_one_split("sha256")(images)


def once_in_train(images: pd.DataFrame) -> pd.Series:
    """No picture of train is a near twin, or a copy, of one before it there."""
    again = images.duplicated(["twins", "split"]) & filled(images["twins"])
    return ~(again & (images["split"] == SPLITS[0]))


def scored(splits: pd.Series) -> bool:
    """Val and test have two images at least, or none at all, which is another rule's matter."""
    counts = splits.value_counts()
    return all(counts.get(split, 2) >= 2 for split in SPLITS[1:])


def in_one_split(key: str) -> Callable[[pd.DataFrame], pd.Series]:
    """A check that no value of `key` stands in two splits.

    Faulty are the rows of train if val or test has the value, and those of val if test has it: what is
    reported on stays as it is, and what is learned from gives way.
    """

    def check(frame: pd.DataFrame) -> pd.Series:
        rank = frame["split"].map({split: rank for rank, split in enumerate(SPLITS)})
        repeated = frame[key].duplicated(keep=False) & filled(frame[key])
        best = rank[repeated].groupby(frame.loc[repeated, key]).transform("max")
        return ~(rank < best.reindex(frame.index))

    return check
