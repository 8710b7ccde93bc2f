"""What a training leaves of its course: `history.json` beside the model, a record a step."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.files import atomic_path

FILE = "history.json"
Record = Mapping[str, Any]
"""`step`, `epoch`, and `loss`, `learning_rate`, `grad_norm`, `gate/...`, or `val/loss`, `val/CIDEr`."""


def history(log: Sequence[Record]) -> list[dict[str, Any]]:
    """The trainer's log with validation under `val/` (`eval_CIDEr` -> `val/CIDEr`), as the curves are named
    everywhere; without times, so that the same training leaves the same bytes (MLflow has them).
    """
    return [
        {key.replace("eval_", "val/", 1): value for key, value in record.items() if not _is_time(key)}
        for record in log
    ]


def _is_time(key: str) -> bool:
    return key.endswith(("_runtime", "_per_second"))


def write_history(records: Sequence[Record], folder: Path) -> None:
    """Write `history.json` into `folder`."""
    with atomic_path(folder / FILE) as path:
        path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


def best_scores(records: Sequence[Record]) -> dict[str, float]:
    """The validation with the highest CIDEr, by which the checkpoint was chosen: loss, CIDEr, epoch."""
    best = max((record for record in records if "val/CIDEr" in record), key=lambda r: r["val/CIDEr"])
    return {"loss": best["val/loss"], "CIDEr": best["val/CIDEr"], "epoch": best["epoch"]}
