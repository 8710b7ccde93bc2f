"""Open the MLflow run of one variant, in any stage: train creates it, evaluate and register add to it."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import yaml
from filelock import Timeout

from components.errors import UserError
from components.files import atomic_path
from components.tracking import provenance
from components.tracking.git import git_tags
from components.tracking.journal import exclusive_journal
from components.tracking.logger import VariantRun, now
from components.tracking.store import runs_folder
from components.tracking.system import system_metrics
from components.variants import VARIANTS


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
) -> Iterator[VariantRun]:
    """Log to the run of `variant` while the body runs. Nothing here fails on account of the store.

    Args:
        variant: mlp, transformer, ...: the name of the run.
        stage: "train" starts the run and ends it; any other adds to the run that made `weights`.
        params: all of params.yaml as plain values. With `data` they name the parent run, see `pipeline_key`.
        data: hash of the data set, see `provenance.tables_digest`.
        weights: `provenance.weights_digest` of the model; None in training.
        scores: `provenance.scores_digest` of the evaluation, where one is read. Its run is then added to even
            if other parameters, on which no score depends, have changed since.
        datasets: what the stage reads, see `provenance.dataset_entry`.
    """
    pipeline = provenance.pipeline_key(params, data)
    unfinished = runs_folder() / "unfinished" / f"{pipeline}-{variant}"
    training = stage == "train"
    mark = {"run_key": _run_key(unfinished) if training else None, "weights": weights, "scores": scores}
    try:
        with exclusive_journal(f"{pipeline}-{mark['run_key'] or weights}") as journal:
            run = VariantRun(variant, journal)
            run.record("open_child", **mark, **_opening(variant, pipeline, stage, params, data))
            if datasets:
                run.record("log_inputs", datasets=datasets)
            run.log_text(yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True), "params.yaml")
            with _running(run, training):
                yield run
    except Timeout:
        raise UserError(
            f"Another process logs to the run of '{variant}'. Is the stage {stage} running twice?"
        ) from None
    if training:
        unfinished.unlink(missing_ok=True)


def _run_key(unfinished: Path) -> str:
    """That of the training of this configuration that was interrupted, or a new one."""
    if unfinished.exists():
        return unfinished.read_text(encoding="utf-8")
    key = uuid.uuid4().hex
    with atomic_path(unfinished) as path:
        path.write_text(key, encoding="utf-8")
    return key


@contextmanager
def _running(run: VariantRun, training: bool) -> Iterator[None]:
    """Send in the background; at the end say how it ended."""
    run.start()
    status = "KILLED"  # by Ctrl-C or a signal, which raise no Exception
    try:
        with system_metrics(run) if training else nullcontext():
            yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        if training:
            run.record("close_child", status=status, time=now())
        run.finish()


def _opening(
    variant: str, pipeline: str, stage: str, params: Mapping[str, object], data: str
) -> dict[str, object]:
    """What `tree.open_child` makes parent and child of, but for what tells the child from others."""
    seed = params.get("seed", 0)
    mapper, resampler = VARIANTS.get(variant, (variant, None))
    own = {"variant": variant, "mapper": mapper, "resampler": resampler}
    return {
        "stage": stage,
        "variant": variant,
        "pipeline": pipeline,
        "run_name": f"{variant} (seed {seed})",
        "parent_name": f"seed {seed} ({pipeline[:6]})",
        "params": provenance.flatten(params),
        "variant_params": provenance.flatten(own),
        "tags": provenance.dvc_tags(variant) | {"data": data},
        "origin": git_tags() | provenance.source_tags(stage),
        "time": now(),
    }
