"""Runs in the store: one parent a pipeline configuration, under it one child a variant.

The stages of a pipeline are separate processes that know each other only by names: the parent is found by its
tag `pipeline`, a child by the tags `pipeline` and `run_key` (its training) or `weights` (what that made). All
calls here may be repeated.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from components.tracking.names import OF_TRAINING
from components.tracking.store import Store, store_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def open_child(store: Store, event: Mapping) -> str:
    """Find or create the run that `event` (see `runs.open_variant_run`) names; return its id."""
    client, training = store.client, event["stage"] == "train"
    with store_lock():
        child = _find(store, pipeline=event["pipeline"], **_mark(event))
        if child is None and event.get("scores"):  # found under other parameters, on which they do not depend
            child = _find(store, weights=event["weights"], scores=event["scores"])
        if child is None:
            child = _create_child(store, event)
    run_id, parent_id = child.info.run_id, child.data.tags["mlflow.parentRunId"]
    describe(client, parent_id, event["params"])
    origin = event["origin"] if training else {}
    describe(client, run_id, event["params"] | event["variant_params"], event["tags"] | origin)
    if training:
        _end_abandoned(store, event)
        for id_ in (parent_id, run_id):
            client.update_run(id_, status="RUNNING")
    return run_id


def close_child(store: Store, run_id: str, status: str, time: int) -> None:
    """End a training and its parent. Later stages add to the run but its duration stays the training's."""
    parent_id = store.client.get_run(run_id).data.tags["mlflow.parentRunId"]
    for id_ in (run_id, parent_id):
        store.client.set_terminated(id_, status, time)


def describe(
    client: "MlflowClient", run_id: str, params: Mapping[str, str], tags: Mapping[str, str] | None = None
) -> None:
    """Log tags, and the parameters that the run does not have yet: in MLflow a parameter cannot change, and
    what a run was made with is what counts.
    """
    from mlflow.entities import Param, RunTag

    known = client.get_run(run_id).data.params
    fresh = [Param(name, value) for name, value in params.items() if name not in known]
    client.log_batch(run_id, params=fresh, tags=[RunTag(name, value) for name, value in (tags or {}).items()])


def _find(store: Store, **tags: str) -> "Run | None":
    """The newest run with these tags."""
    query = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    found = store.client.search_runs([store.experiment_id], query, max_results=1)
    return found[0] if found else None


def _create_child(store: Store, event: Mapping) -> "Run":
    """A new child, of a new parent if there is none; one whose training stands under another parent gets a
    copy of the training's curves.

    So after a change of decoding parameters alone, where nothing is trained again, the new configuration
    still has whole runs of its own, and those of the old one keep their scores.
    """
    client, pipeline, origin = store.client, event["pipeline"], _find(store, **_mark(event))
    parent = _find(store, pipeline=pipeline, role="pipeline")
    if parent is None:
        tags = event["origin"] | {"pipeline": pipeline, "role": "pipeline"}
        parent = client.create_run(store.experiment_id, event["time"], tags, event["parent_name"])
        client.set_terminated(parent.info.run_id, "FINISHED", event["time"])
    tags = event["origin"] | {
        "pipeline": pipeline,
        **_mark(event),
        "variant": event["variant"],
        "mlflow.parentRunId": parent.info.run_id,
    }
    if origin:
        tags["trained_in_run"] = origin.info.run_id
    start = origin.info.start_time if origin else event["time"]
    child = client.create_run(store.experiment_id, start, tags, event["run_name"])
    if origin:
        for name in origin.data.metrics:
            if name.startswith(OF_TRAINING):
                curve = client.get_metric_history(origin.info.run_id, name)
                client.log_batch(child.info.run_id, metrics=curve)
        if datasets := client.get_run(origin.info.run_id).inputs.dataset_inputs:
            client.log_inputs(child.info.run_id, datasets=datasets)
        client.set_terminated(child.info.run_id, "FINISHED", origin.info.end_time)
    return child


def _mark(event: Mapping) -> dict[str, str]:
    """What tells the run from others of its variant."""
    return {name: event[name] for name in ("run_key", "weights") if event.get(name)}


def _end_abandoned(store: Store, event: Mapping) -> None:
    """An earlier training of this variant that still counts as running was killed: say so."""
    same = f"tags.pipeline = '{event['pipeline']}' and tags.variant = '{event['variant']}'"
    for run in store.client.search_runs([store.experiment_id], f"{same} and status = 'RUNNING'"):
        if run.data.tags.get("run_key") != event["run_key"]:
            store.client.set_terminated(run.info.run_id, "KILLED")
