"""Check a data set against the schemas and name every fault by file and row."""

from dataclasses import dataclass, field

import pandas as pd
import pandera.pandas as pa

from components.data.schema import CAPTIONS, IMAGES, RULES, annotate
from components.data.tables import Tables
from components.errors import UserError

FAULT_COLUMNS = ["table", "row", "image_id", "column", "value", "fault", "reason", "advice"]
SHOWN = 10  # faults in an error message; all of them are in the table


@dataclass(frozen=True)
class Report:
    """What was found: `faults` has one row a fault, with `FAULT_COLUMNS`."""

    tables: Tables
    faults: pd.DataFrame = field(repr=False)

    @property
    def valid(self) -> bool:
        """No fault at all?"""
        return self.faults.empty

    def raise_if_faulty(self) -> None:
        """Raise a `UserError` that names the first faults, one a line."""
        if not self.valid:
            raise UserError(describe(self.faults, self.tables))


def validate(tables: Tables) -> Report:
    """Run all checks over both tables and collect every fault; pictures are not decoded here."""
    images, captions = annotate(tables.images, tables.captions)
    if "problem" not in images:
        present = {
            str(path.relative_to(root)) for root in [tables.folder / "images"] for path in root.rglob("*")
        }
        missing = ~images["file_name"].isin(present)
        images = images.assign(problem=pd.Series("no such file", images.index, dtype="str").where(missing))
    faults = [_check(IMAGES, images), _check(CAPTIONS, captions)]
    return Report(tables, pd.concat(faults, ignore_index=True))


def _check(schema: pa.DataFrameSchema, frame: pd.DataFrame) -> pd.DataFrame:
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        return _faults(schema.name, frame, error.failure_cases)
    return pd.DataFrame(columns=FAULT_COLUMNS)


def _faults(table: str, frame: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """pandera's failure cases as rows of `FAULT_COLUMNS`.

    A check over several columns fails once for every column; one row of those is kept, with the table's last column
    of text (the file, the caption) as its value.
    """
    cases = cases.assign(
        check=cases["check"].where(~cases["check"].astype("str").str.startswith("dtype"), "dtype")
    )
    whole_row = cases["schema_context"] == "DataFrameSchema"
    cases = pd.concat([cases[~whole_row], cases[whole_row].drop_duplicates(["check", "index"])])
    rows = cases["index"].astype("Int64")
    known = rows.notna()
    shown = "file_name" if table == "images" else "caption"
    faults = pd.DataFrame(
        {"table": table, "row": rows, "column": cases["column"], "value": cases["failure_case"]}
    )
    faults["image_id"] = pd.Series(pd.NA, faults.index, dtype="str")
    faults.loc[known, "image_id"] = frame.loc[rows[known], "image_id"].to_numpy()
    across = known & (cases["schema_context"] == "DataFrameSchema")
    faults.loc[across, "value"] = frame.loc[rows[across], shown].to_numpy()
    faults.loc[across, "column"] = shown
    faults["fault"] = cases["check"]
    faults["reason"] = [RULES[check].reason for check in cases["check"]]
    faults["advice"] = [RULES[check].advice for check in cases["check"]]
    return faults[FAULT_COLUMNS].sort_values(["row", "fault"], na_position="first", ignore_index=True)


def describe(faults: pd.DataFrame, tables: Tables) -> str:
    """The first faults, one a line, and how many of each kind there are."""
    lines = [f"{len(faults)} faults in {tables.folder}:"]
    for fault in faults.head(SHOWN).itertuples():
        where = f"{fault.table}.parquet" + ("" if pd.isna(fault.row) else f", row {fault.row}")
        image = "" if pd.isna(fault.image_id) else f", image {fault.image_id!r}"
        lines.append(
            f"  {where}{image}: {fault.fault}: {_shorten(fault.value)}: {fault.reason}; {fault.advice}."
        )
    if len(faults) > SHOWN:
        counts = ", ".join(f"{name} {number}" for name, number in faults["fault"].value_counts().items())
        lines.append(f"  ... and {len(faults) - SHOWN} more. By kind: {counts}.")
    return "\n".join(lines)


def _shorten(value: object, length: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."
