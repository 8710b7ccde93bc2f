"""Open the MLflow run of one variant, in any stage: train creates it, evaluate and register add to it."""

import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from itertools import count
from pathlib import Path

import yaml
from filelock import Timeout

from components.errors import UserError
from components.files import atomic_path
from components.tracking.git import git_tags
from components.tracking.journal import exclusive_journal
from components.tracking.logger import VariantRun, now
from components.tracking.provenance import data_name, dvc_tags, flatten, pipeline_key, source_tags
from components.tracking.store import runs_folder
from components.variants import VARIANTS

SECONDS = 10.0  # between system metrics, unless MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL is set


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
    pipeline = pipeline_key(params, data)
    unfinished = runs_folder() / "unfinished" / f"{pipeline}-{variant}"
    training = stage == "train"
    run_key = _run_key(unfinished) if training else None
    mapper, resampler = VARIANTS.get(variant, (variant, None))
    name, seed = data_name(params, data), params.get("seed", 0)
    try:
        with exclusive_journal(f"{pipeline}-{run_key or weights}") as journal:
            run = VariantRun(variant, journal)
            run.record(
                "open_child",
                stage=stage,
                variant=variant,
                pipeline=pipeline,
                run_key=run_key,
                weights=weights,
                scores=scores,
                run_name=f"{variant} on {name} (seed {seed})",
                parent_name=f"{name}, seed {seed} ({pipeline[:6]})",
                params=flatten(params),
                variant_params=flatten({"variant": variant, "mapper": mapper, "resampler": resampler}),
                tags=dvc_tags(variant) | {"data": data},
                origin=git_tags() | source_tags(stage),
                time=now(),
            )
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
    if not unfinished.exists():
        with atomic_path(unfinished) as path:
            path.write_text(uuid.uuid4().hex, encoding="utf-8")
    return unfinished.read_text(encoding="utf-8")


@contextmanager
def _running(run: VariantRun, training: bool) -> Iterator[None]:
    """Send in the background; at the end say how it ended."""
    run.start()
    status = "KILLED"  # by Ctrl-C or a signal, which raise no Exception
    try:
        with _system_metrics(run) if training else nullcontext():
            yield
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        if training:
            run.record("close_child", status=status, time=now())
        run.finish()


@contextmanager
def _system_metrics(run: VariantRun) -> Iterator[None]:
    """Sample processor, memory, disk, network and GPU, named as MLflow's UI draws them; once more at the end.

    MLflow's own monitor asks the store before each sample and gives up for good when it does not answer; here
    its probes are logged through the journal like everything else.
    """
    from mlflow.system_metrics.metrics import cpu_monitor, disk_monitor, gpu_monitor, network_monitor

    seconds = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or SECONDS)
    probes = [cpu_monitor.CPUMonitor(), disk_monitor.DiskMonitor(), network_monitor.NetworkMonitor()]
    with suppress(Exception):  # no NVIDIA driver or not its Python package: RuntimeError, NVMLError, ...
        probes.append(gpu_monitor.GPUMonitor())
    stop = threading.Event()

    def sample() -> None:
        for step in count():
            last = stop.wait(seconds)
            values = {}
            for probe in probes:
                probe.collect_metrics()
                values |= {f"system/{name}": value for name, value in probe.aggregate_metrics().items()}
                probe.clear_metrics()
            run.log_metrics(values, step)
            if last:
                return

    thread = threading.Thread(target=sample, name="system-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=5)
