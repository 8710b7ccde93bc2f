"""From a journal to the MLflow store, event by event. Every step may be repeated after a crash."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from components.tracking import tree
from components.tracking.faults import explain, is_permanent
from components.tracking.journal import Journal, exclusive_journal, unsent_folder
from components.tracking.store import Store

if TYPE_CHECKING:
    from mlflow import MlflowClient

METRICS_AT_ONCE = 1000  # MLflow's limits for one call


def send(journal: Journal, store: Store) -> list[str]:
    """Send what the journal still holds; return a complaint for each event that the store refused.

    Raises whatever MLflow raises while the store does not answer: the journal then still holds the rest.
    """
    complaints = []
    for end, batch in _batches(journal.unsent()):
        try:
            journal.run_id = _apply(batch, journal, store)
        except Exception as error:
            if not is_permanent(error):
                raise
            for event in batch:
                path = journal.reject(event, explain(error))
            complaints.append(f"{explain(error)} (kept in {path})")
        journal.mark_sent(end, journal.run_id)
    return complaints


def send_waiting(store: Store) -> list[str]:
    """Send the journals of processes that have ended; return one line for each that was sent.

    Raises whatever MLflow raises while the store does not answer; what was not sent stays.
    """
    sent = []
    for path in sorted(unsent_folder().glob("*.jsonl")):
        try:
            with exclusive_journal(path.stem, seconds=0) as journal:
                complaints = send(journal, store)
                sent.append("; ".join([f"{path.name}: sent to run {journal.run_id}", *complaints]))
                journal.remove()
        except Timeout:  # its process is alive and sends by itself
            continue
    return sent


def _batches(events: list[tuple[int, dict]]) -> Iterator[tuple[int, list[dict]]]:
    """Neighbouring metrics together (one database commit instead of hundreds), everything else by itself."""
    batch, size, end = [], 0, 0
    for offset, event in events:
        width = len(event["values"]) if event["kind"] == "metrics" else METRICS_AT_ONCE
        if batch and size + width > METRICS_AT_ONCE:
            yield end, batch
            batch, size = [], 0
        batch.append(event)
        size, end = size + width, offset
    if batch:
        yield end, batch


def _apply(batch: list[dict], journal: Journal, store: Store) -> str:
    """Bring one batch into the store; return the id of the run."""
    event, client = batch[0], store.client
    if event["kind"] == "open":
        return tree.open_child(store, event)
    run_id = journal.run_id
    if run_id is None:
        raise ValueError("an event before the run was opened")
    match event["kind"]:
        case "metrics":
            _log_metrics(client, run_id, batch)
        case "params":
            tree.log_params(client, run_id, event["values"])
        case "tags":
            tree.set_tags(client, run_id, event["values"])
        case "dataset":
            _log_dataset(client, run_id, event["entry"])
        case "image":
            _log_image(client, run_id, journal.files / event["file"], event)
        case "table":
            client.log_table(run_id, event["columns"], event["name"])
        case "artifact":
            _log_artifact(client, run_id, journal.files / event["file"], event)
        case "close":
            tree.close_child(store, run_id, event)
        case unknown:
            raise ValueError(f"no such kind of event: {unknown}")
    return run_id


def _log_metrics(client: "MlflowClient", run_id: str, batch: list[dict]) -> None:
    from mlflow.entities import Metric

    metrics = [
        Metric(name, value, event["time"], event["step"])
        for event in batch
        for name, value in event["values"].items()
    ]
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS_AT_ONCE])


def _log_dataset(client: "MlflowClient", run_id: str, entry: dict[str, str]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entry = dict(entry)
    context = InputTag("mlflow.data.context", entry.pop("context"))
    client.log_inputs(run_id, datasets=[DatasetInput(Dataset(**entry), tags=[context])])


def _log_image(client: "MlflowClient", run_id: str, path: Path, event: dict) -> None:
    from PIL import Image

    with Image.open(path) as image:
        client.log_image(
            run_id, image, key=event["key"], step=event["step"], timestamp=event["time"], synchronous=True
        )


def _log_artifact(client: "MlflowClient", run_id: str, path: Path, event: dict) -> None:
    """The journal numbers its files; the store shows them under their own names."""
    with tempfile.TemporaryDirectory() as scratch:
        named = Path(scratch) / event["name"]
        if path.is_dir():
            shutil.copytree(path, named)
            client.log_artifacts(run_id, str(named), "/".join(filter(None, (event["folder"], event["name"]))))
        else:
            shutil.copy(path, named)
            client.log_artifact(run_id, str(named), event["folder"] or None)
