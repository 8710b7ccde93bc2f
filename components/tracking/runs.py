"""Open the MLflow run of one variant, in any stage: train creates it, evaluate and register add to it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from filelock import Timeout

from components.errors import UserError
from components.files import atomic_path
from components.tracking import provenance
from components.tracking.git import git_tags
from components.tracking.journal import Journal, exclusive_journal
from components.tracking.logger import RunLogger, _now
from components.tracking.store import runs_folder
from components.tracking.system import SystemMetrics
from components.variants import VARIANTS


@dataclass(frozen=True)
class RunKey:
    """Names a run before the store has answered.

    A training has a `run_key` of its own; the stages after it know `weights`, what it made, and `scores`,
    what was found of them (`provenance.weights_digest`, `scores_digest`).
    """

    variant: str
    pipeline: str
    run_key: str | None = None
    weights: str | None = None
    scores: str | None = None


class VariantRun(RunLogger):
    """The run of one variant: a `RunLogger` that knows which run it is."""

    def __init__(self, key: RunKey, journal: Journal):
        super().__init__(journal)
        self._key = key

    def made(self, *, model: str | Path | None = None, results: str | Path | None = None) -> None:
        """Say which weights (or scores) the stage left in a folder: the stages after it find its run by
        them.
        """
        if model:
            self.set_tags({"weights": provenance.weights_digest(model)})
        if results:
            self.set_tags({"scores": provenance.scores_digest(results)})

    def require_id(self) -> str:
        """MLflow's id of the run, for what cannot wait: the registry.

        Raises:
            UserError: the store does not answer.
        """
        if self.run_id is None and not self.flush():
            raise UserError(
                f"The run of '{self._key.variant}' is not in MLflow: {self.trouble or 'no answer yet'}"
            )
        return self.run_id


@contextmanager
def open_variant_run(
    variant: str,
    *,
    stage: str,
    params: Mapping[str, object],
    data: str,
    weights: str | None = None,
    scores: str | None = None,
    datasets: Sequence[Mapping[str, str]] = (),
    fresh: bool = False,
) -> Iterator[VariantRun]:
    """Log to the run of `variant` while the body runs. Neither entering nor leaving fails on account of the
    store.

    Args:
        variant: mlp, transformer, ...: the name of the run.
        stage: "train" starts the run and ends it; any other adds to the run that made `weights`.
        params: all of params.yaml as plain values. With `data` they name the parent run, see `pipeline_key`.
        data: hash of the data set, see `provenance.tables_digest`.
        weights: `provenance.weights_digest` of the model; None in training.
        scores: `provenance.scores_digest` of the evaluation, where one is read. Its run is then added to even
            if other parameters, on which no score depends, have changed since.
        datasets: what the stage reads, see `provenance.dataset_entry`.
        fresh: begin a new run even though an interrupted training of the same configuration could be
            continued.
    """
    pipeline = provenance.pipeline_key(params, data)
    unfinished = runs_folder() / "unfinished" / f"{pipeline}-{variant}"
    training = stage == "train"
    run_key = _run_key(unfinished, fresh) if training else None
    try:
        with exclusive_journal(f"{pipeline}-{run_key or weights}") as journal:
            run = VariantRun(key := RunKey(variant, pipeline, run_key, weights, scores), journal)
            journal.append("open", **_opening(key, stage, params, data))
            for entry in datasets:
                run.log_dataset(entry)
            run.log_text(yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True), "params.yaml")
            with _running(run, training):
                yield run
    except Timeout:
        raise UserError(
            f"Another process logs to the run of '{variant}'. Is the stage {stage} running twice?"
        ) from None
    if training:
        unfinished.unlink(missing_ok=True)


def _run_key(unfinished: Path, fresh: bool) -> str:
    """That of the training of this configuration that was interrupted, or a new one."""
    if unfinished.exists() and not fresh:
        return unfinished.read_text(encoding="utf-8")
    key = uuid.uuid4().hex
    with atomic_path(unfinished) as path:
        path.write_text(key, encoding="utf-8")
    return key


@contextmanager
def _running(run: VariantRun, training: bool) -> Iterator[None]:
    """Send in the background; at the end say how it ended."""
    run.start()
    monitor = SystemMetrics(run) if training else None
    status = "KILLED"  # by Ctrl-C or a signal, which raise no Exception
    try:
        yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        if monitor:
            monitor.stop()
        run.finish(status if training else None)


def _opening(key: RunKey, stage: str, params: Mapping[str, object], data: str) -> dict[str, object]:
    """The event from which `tree.open_child` finds or creates parent and child."""
    seed = params.get("seed", 0)
    mapper, resampler = VARIANTS.get(key.variant, (key.variant, None))
    return {
        "stage": stage,
        **asdict(key),
        "run_name": f"{key.variant} (seed {seed})",
        "parent_name": f"seed {seed} ({key.pipeline[:6]})",
        "params": provenance.flatten(params),
        "variant_params": provenance.flatten(
            {"variant": key.variant, "mapper": mapper, "resampler": resampler}
        ),
        "tags": provenance.dvc_tags(key.variant) | {"data": data},
        "origin": git_tags() | provenance.source_tags(stage),
        "time": _now(),
    }
