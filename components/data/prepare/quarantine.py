"""Move what is faulty to a table of its own, with the reason, and keep the rest."""

import json
from collections.abc import Mapping

import pandas as pd

from components.data.prepare.rules import RULES, Rule
from components.data.prepare.validate import FAULT_COLUMNS, validate
from components.data.tables import Tables
from components.errors import UserError

COLUMNS = [*FAULT_COLUMNS, "record"]

FOLLOWS = "image-quarantined"
RULES[FOLLOWS] = Rule(
    "the image of this caption was moved to the quarantine", "see the fault of the image", "quarantine", False
)


def quarantine(
    tables: Tables, faults: pd.DataFrame, severity: Mapping[str, str]
) -> tuple[Tables, pd.DataFrame]:
    """Split `tables` into the clean rest and one row for every row taken out.

    What is taken out can make new faults (an image that lost its last caption), so this repeats until
    nothing is left to find. The rows of the rest are unchanged.

    Args:
        faults: what `validate(tables)` found
        severity: of each rule; rows are taken out for those with `quarantine`

    Returns:
        The rest, and the quarantine: the columns of a fault (a row's first), and `record`, the row itself
        as JSON.

    Raises:
        UserError: a fault is of no single row (a split is empty, a column missing), at first or after
        taking out.
    """
    taken = []
    while not (faults := faults[faults["fault"].map(severity) == "quarantine"]).empty:
        if faults["index"].isna().any():
            raise UserError(_hopeless(faults[faults["index"].isna()].iloc[0], len(taken)))
        tables, rows = _take_out(tables, faults)
        taken.append(rows)
        faults = validate(tables)
    return tables, pd.concat(taken, ignore_index=True) if taken else pd.DataFrame(columns=COLUMNS)


def _take_out(tables: Tables, faults: pd.DataFrame) -> tuple[Tables, pd.DataFrame]:
    faults = faults.drop_duplicates(["table", "index"])
    images, images_out = _divide(tables.images, faults[faults["table"] == "images"])
    captions, captions_out = _divide(tables.captions, faults[faults["table"] == "captions"])
    lost = set(images_out["image_id"].dropna()) - set(images["image_id"].dropna())
    captions, followers = _divide(captions, _followers(captions, lost))
    return (
        Tables(images, captions, tables.folder),
        pd.concat([images_out, captions_out, followers], ignore_index=True),
    )


def _divide(frame: pd.DataFrame, faults: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`frame` without the rows that `faults` name; and those faults, with the rows as `record`."""
    index = faults["index"].astype("int64").to_list()
    rows = frame.loc[index].drop(columns="place", errors="ignore")  # a number of ours is no part of the row
    records = [json.dumps(record, default=str) for record in rows.to_dict("records")]
    return frame.drop(index=index), faults.assign(record=records)[COLUMNS]


def _followers(captions: pd.DataFrame, lost: set[str]) -> pd.DataFrame:
    """The captions whose image was taken out, as faults."""
    rows = captions[captions["image_id"].isin(lost)]
    return pd.DataFrame(
        {
            "table": "captions",
            "index": rows.index,
            "row": rows.get("row", pd.NA),
            "image_id": rows["image_id"],
            "column": "caption",
            "value": rows["caption"],
            "fault": FOLLOWS,
            "reason": RULES[FOLLOWS].reason,
            "advice": RULES[FOLLOWS].advice,
        },
        index=rows.index,
    )


def _hopeless(fault: pd.Series, rounds: int) -> str:
    when = "after taking out what is faulty" if rounds else "in the data"
    value = "" if pd.isna(fault["value"]) else f" ({fault['value']})"
    return f"{fault['fault']} {when}{value}: {fault['reason']}; {fault['advice']}."
