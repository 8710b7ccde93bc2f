"""What a data set must fulfil before a GPU hour is spent on it, as pandera schemas, each check with its reason.

The schemas look at the canonical tables (`components.data.tables`) with a few derived columns, made by `annotate`:

    images     + num_captions        how many captions the image has
               + problem             what decoding the file found (`components.data.inspect`); missing when all is well
    captions   + split               that of the caption's image; missing when there is no such image

A fault is named by the check that found it; `RULES` says for each why it matters and what to do.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
import pandera.pandas as pa

from components.data.tables import SPLITS

MAX_CHARACTERS = 1000
MAX_WORDS = 200

CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
"""Control characters and direction marks; tabs and line feeds are only white space."""

MOJIBAKE = "\ufffd|Ã[\x80-\xbf¡-¿ƒ…†‡ˆ‰Š‹ŒŽ™š›œžŸ]|â€|Â[ -¿]|ï»¿"
"""UTF-8 read as Latin-1 or Windows-1252, or bytes that could not be read at all."""


class Rule(NamedTuple):
    """Why a check is made, and what to do about a fault."""

    reason: str
    advice: str


RULES: dict[str, Rule] = {
    "column_in_dataframe": Rule("a column is missing", "name it in the source, or write the table anew"),
    "dtype": Rule("a column has values of the wrong type", "write the table anew"),
}


def rule(name: str, check: Callable, reason: str, advice: str) -> pa.Check:
    """A check called `name` over a whole column or table; missing values are given to it like all others."""
    RULES[name] = Rule(reason, advice)
    return pa.Check(check, error=name, ignore_na=False)


def present(values: pd.Series) -> pd.Series:
    """Neither missing nor white space."""
    return values.notna() & (values.astype("str").str.strip() != "")


def relative(paths: pd.Series) -> pd.Series:
    """Paths that stay below the folder that they are relative to, on every system."""
    outside = paths.astype("str").str.contains(
        r"^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)|\x00", regex=True
    )
    return ~outside.fillna(False).astype(bool)


def without(pattern: str) -> Callable[[pd.Series], pd.Series]:
    """A check that no value contains the regular expression `pattern`."""
    compiled = re.compile(pattern)
    return lambda values: ~values.fillna("").astype("str").map(lambda text: compiled.search(text) is not None)


def legible(captions: pd.Series) -> pd.Series:
    """Captions with a letter or digit left after Unicode normalisation."""
    return captions.fillna("").astype("str").map(_has_letter)


def _has_letter(caption: str) -> bool:
    return any(character.isalnum() for character in unicodedata.normalize("NFKC", caption))


def in_one_split(key: str) -> Callable[[pd.DataFrame], pd.Series]:
    """A check that no value of `key` stands in two splits.

    Faulty are the rows of training if val or test has the value, and those of val if test has it: what is
    reported on stays as it is, and what is learned from gives way.
    """

    def check(frame: pd.DataFrame) -> pd.Series:
        rank = frame["split"].map({split: rank for rank, split in enumerate(SPLITS)})
        best = rank.groupby(frame[key]).transform("max")
        return ~(rank < best)

    return check


IMAGES = pa.DataFrameSchema(
    {
        "image_id": pa.Column(
            str,
            [
                rule(
                    "image-id-missing",
                    present,
                    "captions refer to images by id",
                    "give every image an image_id",
                ),
                rule(
                    "image-id-twice",
                    lambda ids: ~ids.duplicated(),
                    "a caption could belong to either image",
                    "rename or delete one of the two",
                ),
            ],
            nullable=True,
        ),
        "file_name": pa.Column(
            str,
            [
                rule("file-name-missing", present, "there is no picture to open", "fill in the file name"),
                rule(
                    "file-name-outside",
                    relative,
                    "the path leaves the image folder, and with it the reach of the data version",
                    "move the picture into the image folder and name it relative to that",
                ),
            ],
            nullable=True,
        ),
        "split": pa.Column(
            str,
            [
                rule(
                    "split-unknown",
                    lambda splits: splits.isin(SPLITS),
                    "the image would silently be left out",
                    f"use one of {', '.join(SPLITS)}",
                ),
                rule(
                    "split-empty",
                    lambda splits: set(SPLITS) <= set(splits),
                    "training needs train, choosing the checkpoint val, reporting test",
                    "give at least one image to each of train, val and test",
                ),
            ],
            nullable=True,
        ),
        "problem": pa.Column(
            str,
            [
                rule(
                    "image-unreadable",
                    lambda problems: problems.isna(),
                    "a picture that cannot be decoded would stop the training or be learned as noise",
                    "restore the file or delete its row",
                )
            ],
            nullable=True,
            required=False,
        ),
        "num_captions": pa.Column(
            int,
            [
                rule(
                    "image-without-caption",
                    lambda numbers: numbers > 0,
                    "there is nothing to learn from it, and no reference to score against",
                    "write a caption or delete the row",
                )
            ],
        ),
    },
    checks=[
        rule(
            "leak-by-image",
            in_one_split("sha256"),
            "the same picture in training and in test makes the score worthless",
            "keep it in one split; quarantine removes it from the split that is trained on",
        )
    ],
    name="images",
)

CAPTIONS = pa.DataFrameSchema(
    {
        "caption_id": pa.Column(
            int,
            rule(
                "caption-id-twice",
                lambda ids: ~ids.duplicated(),
                "a fault report could mean either caption",
                "number the captions through",
            ),
        ),
        "caption": pa.Column(
            str,
            [
                rule(
                    "caption-empty",
                    present,
                    "the model would learn to say nothing",
                    "write it or delete the row",
                ),
                rule(
                    "caption-illegible",
                    legible,
                    "no letter or digit is left after Unicode normalisation (NFKC)",
                    "write words or delete the row",
                ),
                rule(
                    "caption-control-characters",
                    without(CONTROL),
                    "the METEOR and CIDEr tokenizer takes them for line ends and shifts all later captions",
                    "remove them",
                ),
                rule(
                    "caption-mojibake",
                    without(MOJIBAKE),
                    "text was decoded with the wrong encoding ('cafÃ©' for 'café')",
                    "read the original as UTF-8 again",
                ),
                rule(
                    "caption-too-long",
                    lambda captions: captions.fillna("").str.len() <= MAX_CHARACTERS,
                    "one such caption pads its whole batch, up to running out of memory",
                    f"shorten it to {MAX_CHARACTERS} characters, or take it for what it is: not a caption",
                ),
            ],
            nullable=True,
        ),
    },
    checks=[
        rule(
            "caption-of-unknown-image",
            lambda captions: captions["split"].notna(),
            "no image has this image_id",
            "add the image to the table of images, or delete the caption",
        ),
        rule(
            "caption-twice",
            lambda captions: ~captions.duplicated(["image_id", "caption"]),
            "the same caption twice on one image counts double in training and in the scores",
            "delete one",
        ),
        rule(
            "leak-by-caption",
            in_one_split("caption"),
            "a test sentence that was learned word for word is no test",
            "delete it from one split; quarantine removes it from the split that is trained on",
        ),
    ],
    name="captions",
)


def annotate(images: pd.DataFrame, captions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables with the derived columns that the schemas look at."""
    counts = captions["image_id"].value_counts()
    images = images.assign(num_captions=images["image_id"].map(counts).fillna(0).astype("int64"))
    split_of = images.drop_duplicates("image_id").set_index("image_id")["split"]
    return images, captions.assign(split=captions["image_id"].map(split_of))
