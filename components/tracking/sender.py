"""From a journal to the MLflow store, call by call. Every step may be repeated after a crash."""

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from components.tracking import tree
from components.tracking.faults import explain, is_permanent
from components.tracking.journal import Journal, exclusive_journal, unsent_folder

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow.entities import DatasetInput

    from components.tracking.store import Store

ARTIFACTS = ("log_artifact", "log_image", "log_table", "log_text")
"""They go to a folder or bucket, which can fail while the store itself, and all numbers, are well."""

AT_ONCE = 200  # neighbouring calls, all metrics: one database commit instead of hundreds


def send(journal: Journal, store: "Store") -> list[str]:
    """Send what the journal still holds; return a complaint for each call that was put aside.

    Raises whatever MLflow raises while the store does not answer: the journal then still holds the rest.
    """
    complaints = []
    for end, call in _merged(journal.unsent()):
        try:
            _replay(call, journal, store)
        except Exception as error:
            if not is_permanent(error):
                if call["method"] not in ARTIFACTS:
                    raise
                store.client.get_run(journal.run_id)  # raises where it is the store that is down
            journal.reject(call, explain(error))
            complaints.append(f"{call['method']} was refused: {explain(error)}")
        journal.mark_sent(end)
    return complaints


def send_waiting(store: "Store") -> list[str]:
    """Send the journals of processes that have ended, and try again what was put aside; return one line for
    each that was sent.

    Raises whatever MLflow raises while the store does not answer; what was not sent stays.
    """
    sent = []
    waiting = (path.stem for path in unsent_folder().iterdir() if path.suffix in (".jsonl", ".rejected"))
    for name in sorted(set(waiting)):
        try:
            with exclusive_journal(name, seconds=0) as journal:
                journal.restore()
                complaints = send(journal, store)
                sent.append("; ".join([f"{name}: sent to run {journal.run_id}", *complaints]))
                journal.remove()
        except Timeout:  # its process is alive and sends by itself
            continue
    return sent


def _merged(calls: list[tuple[int, dict]]) -> Iterator[tuple[int, dict]]:
    """Neighbouring metrics as one call, everything else as it is."""
    for metrics, neighbours in groupby(calls, lambda item: [*item[1]["arguments"]] == ["metrics"]):
        group = list(neighbours)
        if not metrics:
            yield from group
            continue
        for start in range(0, len(group), AT_ONCE):
            part = group[start : start + AT_ONCE]
            rows = [row for _, call in part for row in call["arguments"]["metrics"]]
            yield part[-1][0], {"method": "log_batch", "arguments": {"metrics": rows}}


def _replay(call: dict, journal: Journal, store: "Store") -> None:
    """Make one call: of `tree`, to find, describe or end the run, or of `MlflowClient`, about it."""
    method, arguments = call["method"], call["arguments"]
    if method == "open_child":
        journal.run_id = tree.open_child(store, arguments)
    elif journal.run_id is None:
        raise ValueError("a call before the run was opened")
    elif method == "describe":
        tree.describe(store.client, journal.run_id, **arguments)
    elif method == "close_child":
        tree.close_child(store, journal.run_id, **arguments)
    else:
        arguments = {name: _argument(name, value, journal.files) for name, value in arguments.items()}
        getattr(store.client, method)(journal.run_id, **arguments)


def _argument(name: str, value: Any, files: "Path") -> Any:
    """What `MlflowClient` takes, from what JSON can hold."""
    from mlflow.entities import Metric, Param, RunTag
    from PIL import Image

    rows = {"metrics": Metric, "params": Param, "tags": RunTag}
    if name in rows:
        return [rows[name](*row) for row in value]
    match name:
        case "datasets":
            return [_dataset(**entry) for entry in value]
        case "local_path":
            return str(files / value)
        case "image":
            with Image.open(files / value) as image:
                return image.copy()
    return value


def _dataset(context: str, **entry: str) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return DatasetInput(Dataset(**entry), [InputTag("mlflow.data.context", context)])
