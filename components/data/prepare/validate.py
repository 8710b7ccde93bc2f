"""Check a data set against the schemas and name every fault by file and row."""

import pandas as pd
import pandera.pandas as pa

from components.data.prepare.rules import RULES
from components.data.prepare.schema import CAPTIONS, IMAGES, across_columns, annotate, with_rules
from components.data.prepare.twins import BITS, counterparts
from components.data.tables import SPLITS, Tables

FAULT_COLUMNS = ["table", "index", "row", "image_id", "column", "value", "fault", "reason", "advice"]
SHOWN = 10  # faults in a message


def validate(tables: Tables) -> pd.DataFrame:
    """Run every check over both tables: one row a fault, with `FAULT_COLUMNS`; empty if there is none.

    `index` is the row's label in the table (missing for faults of a whole table), `row` where the source
    has it. Files are judged by the columns `problem` and `detail` that `ingest_all` made; nothing is
    decoded here.
    """
    images, captions = annotate(tables.images, tables.captions)
    faults = [_check(IMAGES, images, "file_name"), _check(CAPTIONS, captions, "caption")]
    return pd.concat(faults, ignore_index=True)


def _check(schema: pa.DataFrameSchema, frame: pd.DataFrame, shown: str) -> pd.DataFrame:
    """The faults of one table; `shown` is the column whose value says most about a row."""
    try:
        schema.validate(with_rules(schema, frame), lazy=True)
    except pa.errors.SchemaErrors as error:
        for fault in error.schema_errors:
            if fault.reason_code is pa.errors.SchemaErrorReason.CHECK_ERROR:
                raise fault from error  # the check itself broke: a bug of ours, not a fault of the data
        cases = error.failure_cases
        cases = cases.assign(column=cases["column"].mask(cases["column"].isin(across_columns(schema)), shown))
        return _faults(schema.name, frame, cases, shown)
    return pd.DataFrame(columns=FAULT_COLUMNS)


def _faults(table: str, frame: pd.DataFrame, cases: pd.DataFrame, shown: str) -> pd.DataFrame:
    """pandera's failure cases as rows of `FAULT_COLUMNS`."""
    names = cases["check"].astype("str")
    cases = cases.assign(check=names.where(names.isin(list(RULES)), "dtype"))
    faults = cases[["column", "check", "failure_case", "index"]].reset_index(drop=True)
    faults = faults.rename(columns={"check": "fault", "failure_case": "value"})
    faults["index"] = faults["index"].astype("Int64")
    rows = faults["index"].dropna()
    of_splits = faults["index"].isna() & (faults["column"] == "split")
    for column in ("row", "image_id"):
        faults[column] = frame[column].reindex(rows).set_axis(rows.index) if column in frame else pd.NA
    _fill_values(faults, frame, rows, shown)
    if table == IMAGES.name:
        faults["value"] = _name_twins(faults, frame).combine_first(faults["value"])
    if of_splits.any() and "split" in frame:
        faults.loc[of_splits, "value"] = _sizes(frame)
    faults["table"] = table
    faults["reason"] = [RULES[fault].reason for fault in faults["fault"]]
    faults["advice"] = [RULES[fault].advice for fault in faults["fault"]]
    return faults[FAULT_COLUMNS].sort_values(["index", "fault"], na_position="first", ignore_index=True)


def _fill_values(faults: pd.DataFrame, frame: pd.DataFrame, rows: pd.Series, shown: str) -> None:
    """What to show of a fault: what decoding said, or `shown`; of a split and a whole table, their value."""
    details = frame["detail"].reindex(rows).set_axis(rows.index)
    values = frame[shown].reindex(rows).set_axis(rows.index)
    of_file = faults["column"] == "problem"
    own = faults["index"].isna() | (faults["fault"] == "split-unknown")
    text = faults["value"].astype("str").where(own, values.reindex(faults.index))
    faults["value"] = text.where(~of_file, details.reindex(faults.index))


def _name_twins(faults: pd.DataFrame, images: pd.DataFrame) -> pd.Series:
    """'a.jpg in train, b.jpg in test: 3 of 256 bits differ', by the labels of those faults."""
    pairs = counterparts(images, faults)
    one = images.loc[faults.loc[pairs.index, "index"]]
    other = images.loc[pairs["twin"]]
    texts = [
        f"{a} in {where}, {b} in {elsewhere}: {bits} of {BITS} bits differ"
        for a, where, b, elsewhere, bits in zip(
            one["file_name"], one["split"], other["file_name"], other["split"], pairs["distance"], strict=True
        )
    ]
    return pd.Series(texts, pairs.index, dtype="str")


def _sizes(images: pd.DataFrame) -> str:
    """'train 24, val 6, test 0'."""
    counts = images["split"].value_counts()
    return ", ".join(f"{split} {counts.get(split, 0)}" for split in SPLITS)


def describe(faults: pd.DataFrame, more: str) -> str:
    """The first fault of each kind, and how many there are; `more` says where all of them are."""
    lines = [f"{len(faults)} faults in the data:"]
    for fault in faults.drop_duplicates("fault").head(SHOWN).itertuples():
        where = "" if pd.isna(fault.row) else f"{fault.row}: "
        lines.append(f"  {where}{fault.fault}: {_shorten(fault.value)}: {fault.reason}; {fault.advice}.")
    counts = ", ".join(f"{name} {number}" for name, number in count(faults).items())
    return "\n".join([*lines, f"By kind: {counts}.", more])


def count(faults: pd.DataFrame) -> dict[str, int]:
    """Fault -> how often, most frequent first."""
    return {str(name): int(number) for name, number in faults["fault"].value_counts().items()}


def _shorten(value: object, length: int = 240) -> str:
    text = "missing" if pd.isna(value) else repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
