"""The single checks that `schema` is made of: each has a name, a reason and an advice."""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pandera.pandas as pa
from ftfy.badness import is_bad

from components.data.tables import SPLITS

UNUSUAL = "[^ -~]"
"""What most captions are without: anything but printable ASCII."""

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters and foreign line ends; tab and line feed are only white space."""

INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Direction marks, zero-width spaces, byte order marks; not the joiners, which scripts and emoji need."""

MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<\|[a-z]+\|>|&(?:[a-zA-Z]{2,8}|#\d{1,6});|https?://|www\.")
"""Tags, entities and addresses: what is left of a web page; and <|endoftext|>, GPT-2's own mark."""


class Rule(NamedTuple):
    """Why a check is made, and what to do about a fault."""

    reason: str
    advice: str


RULES: dict[str, Rule] = {
    "column_in_dataframe": Rule("a column is missing", "write the table anew"),
    "dtype": Rule("a column has values of the wrong type", "write the table anew"),
}
"""Name of a check -> its reason and advice; filled by `rule`."""


def rule(name: str, check: Callable, reason: str, advice: str) -> pa.Check:
    """A check called `name` over a whole column or table; missing values are given to it like all others."""
    RULES[name] = Rule(reason, advice)
    return pa.Check(check, error=name, ignore_na=False)


def found(problem: str, reason: str, advice: str) -> pa.Check:
    """A check that reading or decoding has not ended in `problem`."""
    return rule(problem, lambda problems: problems.fillna("") != problem, reason, advice)


def filled(values: pd.Series) -> pd.Series:
    """Neither missing nor white space."""
    return values.fillna("").str.strip() != ""


def mojibake(text: str) -> bool:
    """Whether it was decoded with the wrong encoding, or has bytes that could not be decoded at all."""
    return "\ufffd" in text or is_bad(text)


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
