"""What made a model version: kept with its run when it is registered, found again to make it anew."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from components.errors import UserError
from components.registry.versions import find_version, open_store, read_artifact
from components.tracking.faults import friendly
from components.tracking.git import code_changes
from components.tracking.names import evaluation_metrics

LOCK, CHANGES, PARAMS, ENVIRONMENT = "dvc.lock", "changes.patch", "params.yaml", "environment.json"
"""Artifacts in the version's folder among those of its run, see `origin_folder`."""

METRICS = "test/metrics.json"
"""Left by the evaluate stage with the run: all of its scores."""

PACKAGES = ("torch", "transformers", "numpy", "pandas", "tokenizers")


@dataclass(frozen=True)
class Origin:
    """Code, data and parameters of a version, and the test metrics that came of them.

    Attributes:
        dirty: the code had been changed since.
        changes: those changes, as `git apply` takes them; '' if there were none or they were not kept.
        params: the text of params.yaml.
        lock: the text of dvc.lock: DVC's hashes of what each stage read and made.
        metrics: all scores of its evaluation, as `evaluation_metrics` names them.
        environment: versions of Python and packages, machine.
    """

    uri: str
    variant: str
    commit: str
    dirty: bool
    changes: str
    params: str
    lock: str
    metrics: Mapping[str, float]
    environment: Mapping[str, str]


def environment() -> dict[str, str]:
    """What decides the last digits besides code, data and parameters."""
    import torch

    cpus = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cpus": cpus}
    return machine | {name: version(name) for name in PACKAGES}


def origin_folder(name: str, number: str) -> str:
    """Where among its run's artifacts a version's origin lies: a run may be registered more than once."""
    return f"origin/{name}-{number}"


def snapshot() -> dict[str, str]:
    """The texts, by name, that besides the commit are needed to make again what this project has made."""
    texts = {name: Path(name).read_text(encoding="utf-8") for name in (LOCK, PARAMS) if Path(name).exists()}
    texts |= {CHANGES: code_changes(), ENVIRONMENT: json.dumps(environment(), indent=1)}
    return {name: text for name, text in texts.items() if text}


def origin_of(uri: str) -> Origin:
    """What made models:/NAME/VERSION or models:/NAME@ALIAS.

    Raises:
        UserError: no such version, one that says too little of where it came from, or a store that cannot be
            reached.
    """
    with friendly(f"Looking for '{uri}'"):
        store = open_store()
        found = find_version(uri, store)
        folder = origin_folder(found.name, found.version)
        lock, changes, params, made_by = (
            (read_artifact(store, found.run_id, f"{folder}/{name}") or b"").decode()
            for name in (LOCK, CHANGES, PARAMS, ENVIRONMENT)
        )
        scores = read_artifact(store, found.run_id, METRICS)
    variant, commit = found.tags.get("variant"), found.tags.get("git_commit")
    missing = {"variant": variant, "git commit": commit, LOCK: lock, PARAMS: params, METRICS: scores}
    if lacking := [name for name, value in missing.items() if not value]:
        raise UserError(
            f"{uri}: nothing says what made it: no {', '.join(lacking)}. Only versions that `dvc repro` "
            "registered in a git repository can be made again."
        )
    metrics = evaluation_metrics(json.loads(scores))
    dirty = found.tags.get("git_dirty") == "true"
    changes = changes if dirty else ""  # of an earlier registration of the same version
    return Origin(uri, variant, commit, dirty, changes, params, lock, metrics, json.loads(made_by or "{}"))
