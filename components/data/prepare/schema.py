"""What data must fulfil before a GPU hour is spent on it: two pandera schemas, each check with its reason.

They look at the canonical tables (`components.data.tables`) with a few columns more, made by `annotate`:

    problem, detail   what reading or decoding found (`prepare.ingest`); missing when all is well
    num_captions      of an image
    twins             what near twins have in common (`prepare.twins`); missing for an image without one
    split             of a caption's image; missing when there is no such image
    key               a caption as a reader sees it: Unicode normal form, lower case, single spaces

A fault is named by the check that found it.
"""

from collections.abc import Mapping

import pandas as pd
from pandera.pandas import Column, DataFrameSchema

from components.data.prepare import rules
from components.data.prepare.rules import ACROSS, across, by_name, filled, found, rule, without
from components.data.prepare.twins import LEAK, REPEATED
from components.data.tables import SPLITS, among

MAX_CHARACTERS = 10_000
MAX_CAPTIONS = 100  # of one image

FILE_PROBLEMS = [
    found(
        "image-outside",
        "the path leaves the image folder",
        "copy the file into data.images, name it relative to that",
    ),
    found("image-missing", "there is no such file", "restore the file or delete the row"),
    found("image-unreadable", "it cannot be decoded completely", "restore the file or delete the row"),
    found("image-too-large", "decoding it would exhaust the memory", "scale it down"),
    found("image-too-small", "nothing can be recognised in it", "find the original or delete the row"),
    found("image-aspect", "nothing would be left after the square crop", "crop it or delete the row"),
    found("image-mode", "its pixels do not become RGB without guessing their range", "save it as 8-bit RGB"),
]


def at_least(limit: float, name: str, reason: str) -> Column:
    """A figure of `components.data.looks`, unknown of what cannot be read; below `limit` it is reported."""
    check = rule(name, lambda figures: ~(figures < limit), reason, "look at it", severity="report")
    return Column(float, check, nullable=True)


IMAGES = DataFrameSchema(
    {
        "image_id": Column(
            str,
            [
                rule(
                    "image-id-missing",
                    filled,
                    "captions refer to images by id",
                    "give the image an id",
                    reportable=False,
                ),
                rule(
                    "image-twice",
                    lambda ids: ~ids.duplicated() | ids.isna(),
                    "the image would count double",
                    "delete the row; the first one stays",
                    reportable=False,
                ),
            ],
            nullable=True,
        ),
        "file_name": Column(
            str,
            rule(
                "file-name-missing",
                filled,
                "there is no picture to open",
                "fill in the file name",
                reportable=False,
            ),
            nullable=True,
        ),
        "split": Column(
            str,
            [
                rule(
                    "split-missing",
                    filled,
                    "other images have a split, so it is unclear where this one belongs",
                    "fill it in, or set data.splits: hash",
                    reportable=False,
                ),
                rule(
                    "split-unknown",
                    lambda splits: splits.isin(SPLITS) | ~filled(splits),
                    "the image would silently be left out",
                    f"use one of {', '.join(SPLITS)}, or set data.splits: hash",
                    reportable=False,
                ),
                rule(
                    "split-empty",
                    lambda splits: set(SPLITS) <= set(splits),
                    "training needs train, choosing the checkpoint val, reporting test",
                    "set data.splits: complete (test is half of val by hash, val a share of train; all else "
                    "stays), or hash for all three anew (and where images are few, a larger data.val_share "
                    "and data.test_share)",
                    reportable=False,
                ),
                rule(
                    "split-too-small",
                    rules.scored,
                    "fewer than two pictures in val or test cannot be scored: CIDEr of one is 0",
                    "give it more, or make splits with data.splits: hash and larger data.val_share and "
                    "data.test_share",
                ),
            ],
            nullable=True,
        ),
        "problem": Column(str, FILE_PROBLEMS, nullable=True),
        "num_captions": Column(
            int,
            [
                rule(
                    "image-without-caption",
                    lambda numbers: numbers > 0,
                    "there is nothing to learn from it and no reference to score against",
                    "write a caption or delete the row",
                    reportable=False,
                ),
                rule(
                    "image-with-too-many-captions",
                    lambda numbers: numbers <= MAX_CAPTIONS,
                    f"more than {MAX_CAPTIONS} captions: ids of different images fell together",
                    "look at the ids",
                ),
            ],
        ),
        "brightness": at_least(rules.DARK, "image-dark", "it is nearly black, and the tower sees nothing"),
        "contrast": at_least(
            rules.EMPTY,
            "image-almost-empty",
            "it is of one colour all over, as the picture that stands for a missing one",
        ),
        **by_name(
            across(
                "image-id-ambiguous",
                rules.ambiguous_ids,
                "one id stands for different files, so its captions could belong to either",
                "give each file its own id",
                reportable=False,
            ),
            across(
                "leak-by-image",
                rules.in_one_split("sha256"),
                "the same picture is also in a split that is reported on: the score would be worthless",
                "keep it there only",
            ),
            across(
                LEAK,
                rules.no_near_leak,
                "nearly the same picture is also in a split that is reported on: the score would be too good",
                "look at the pairs; data.severity: {leak-by-near-twin: quarantine} takes out those of train",
                severity="report",
            ),
            across(
                REPEATED,
                rules.once_in_train,
                "nearly the same picture stands in train before: it counts double",
                "look at the pairs; data.severity: {near-twin-in-train: quarantine} keeps the first",
                severity="report",
            ),
            across(
                "image-blurred",
                rules.clear,
                "nothing in it is sharp",
                "look at it",
                severity="report",
            ),
            across(
                "image-odd-aspect",
                rules.usual_aspect,
                "two thirds or more of it are lost to the square crop",
                "look at it, crop it",
                severity="report",
            ),
        ),
    },
    name="images",
)

CAPTIONS = DataFrameSchema(
    {
        "problem": Column(
            str,
            [
                found("caption-missing", "there is no caption in the row", "write it or delete the row"),
                found(
                    "row-cells",
                    "a separator is missing, or one too many stands in a text without quotes",
                    "put quotes around the text, or mend the row",
                ),
                found(
                    "caption-not-text", "a number, list or object stands where text is needed", "write text"
                ),
                found("caption-surrogates", "half a character: UTF-16 cut in two", "read the original anew"),
            ],
            nullable=True,
        ),
        "caption": Column(
            str,
            [
                rule(
                    "caption-empty",
                    lambda captions: captions.isna() | filled(captions),
                    "the model would learn to say nothing",
                    "write it or delete the row",
                    reportable=False,
                ),
                rule(
                    "caption-control-characters",
                    without(rules.CONTROL.search),
                    "scorers take some of them for line ends and shift all later captions",
                    "remove them",
                ),
                rule(
                    "caption-invisible-characters",
                    without(rules.INVISIBLE.search),
                    "tokens that nobody sees are learned and never match a reference",
                    "remove them",
                ),
                rule(
                    "caption-mojibake",
                    without(rules.mojibake),
                    "it was decoded with the wrong encoding ('cafÃ©' for 'café')",
                    "read the original as UTF-8",
                ),
                rule(
                    "caption-markup",
                    without(rules.MARKUP.search, hint="[<&/]|[wW]{3}"),
                    "a tag, an entity or an address of a web page would be learned",
                    "remove it",
                ),
                rule(
                    "caption-holds-cells",
                    without(rules.CELLS.search, hint=r"\t|\."),
                    "a tab or the name of a picture: a part of the table would be learned",
                    "look for a quote or separator too many in this row and the one before",
                ),
                rule(
                    "caption-is-list",
                    without(rules.LIST.fullmatch, hint=r"^\s*(?:np\.)?(?:array)?[\[(]"),
                    "it looks like a list of captions, but does not read as one",
                    "write the list as JSON, or a caption a row",
                ),
                rule(
                    "caption-too-long",
                    lambda captions: captions.fillna("").str.len() <= MAX_CHARACTERS,
                    f"more than {MAX_CHARACTERS} characters: a document, or rows that were swallowed",
                    "look at the file, shorten it or delete the row",
                ),
            ],
            nullable=True,
        ),
        "key": Column(
            str,
            rule(
                "caption-illegible",
                rules.legible,
                "no letter or digit is left after Unicode normalisation (NFKC)",
                "write words or delete the row",
            ),
        ),
        **by_name(
            across(
                "caption-of-unknown-image",
                lambda captions: captions["known"],
                "no image has this id",
                "add the image or delete the caption",
                reportable=False,
            ),
            across(
                "caption-twice",
                lambda captions: ~captions.duplicated(["image_id", "key"]) | (captions["key"] == ""),
                "the same caption on the same image would count double",
                "delete the row; the first one stays",
            ),
            across(
                "leak-by-caption",
                rules.in_one_split("key"),
                "the same sentence is also in a split that is reported on: so it is in COCO and Flickr30k",
                "nothing, or keep it there only: data.severity: {leak-by-caption: quarantine}",
                severity="report",
            ),
        ),
    },
    name="captions",
)


NOTHING = {name: pd.Series(dtype="str") for name in ("problem", "detail")}
UNKNOWN_LOOKS = {
    **{name: pd.Series(dtype="float64") for name in ("brightness", "contrast", "sharpness")},
    **{name: pd.Series(dtype="Int64") for name in ("width", "height")},
    "twins": pd.Series(dtype="str"),
}


def annotate(images: pd.DataFrame, captions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The canonical tables with the columns that the schemas look at besides."""
    images = _with(images, NOTHING | UNKNOWN_LOOKS)
    captions = _with(captions, NOTHING)
    counts = captions["image_id"].value_counts()
    split_of = images.dropna(subset="image_id").drop_duplicates("image_id").set_index("image_id")["split"]
    keys = rules.normal_forms(captions["caption"])
    images = images.assign(num_captions=images["image_id"].map(counts).fillna(0).astype("int64"))
    captions = captions.assign(
        split=captions["image_id"].map(split_of).astype("str"),
        known=among(captions["image_id"], split_of.index),
        key=keys,
    )
    return images, captions


def with_rules(schema: DataFrameSchema, table: pd.DataFrame) -> pd.DataFrame:
    """An annotated table with what the rules over several columns say of each row."""
    checks = {name: column.metadata[ACROSS] for name, column in across_columns(schema).items()}
    return table.assign(**{name: check(table) for name, check in checks.items()})


def across_columns(schema: DataFrameSchema) -> dict[str, Column]:
    """Those that `across` made."""
    return {name: column for name, column in schema.columns.items() if column.metadata}


def _with(table: pd.DataFrame, columns: Mapping[str, pd.Series]) -> pd.DataFrame:
    """`table` with those of `columns` that it lacks."""
    return table.assign(**{name: column for name, column in columns.items() if name not in table})
