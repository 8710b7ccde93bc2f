"""Open the MLflow run of one variant, in any stage: train creates it, evaluate and register add to it."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from filelock import Timeout

from components.config import VARIANTS
from components.errors import UserError
from components.files import atomic_path
from components.tracking import provenance
from components.tracking.journal import Journal, exclusive_journal
from components.tracking.logger import RunLogger, _now
from components.tracking.store import runs_folder
from components.tracking.system import SystemMetrics


@dataclass(frozen=True)
class RunRecord:
    """What a stage writes down so that the next can go on with the same run.

    `run_key` is chosen here and holds even if the store was down; `run_id` is MLflow's, None until it has
    answered.
    """

    run_key: str
    variant: str
    pipeline: str
    run_id: str | None = None

    def write(self, path: str | Path) -> None:
        """Write it as JSON."""
        with atomic_path(path) as fresh:
            fresh.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> "RunRecord":
        """Read what `write` wrote.

        Raises:
            UserError: no such file, or not such a file.
        """
        try:
            return cls(**json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{path}: no record of a training run ({error}). Run: dvc repro train") from None


class VariantRun(RunLogger):
    """The run of one variant: a `RunLogger` that knows which run it is."""

    def __init__(self, record: RunRecord, journal: Journal):
        super().__init__(journal)
        self._record = record

    def require_id(self) -> str:
        """MLflow's id of the run, for what cannot wait: the registry.

        Raises:
            UserError: the store does not answer.
        """
        if self.run_id is None and not self.flush():
            raise UserError(
                f"The run of '{self._record.variant}' is not in MLflow: {self.trouble or 'no answer yet'}"
            )
        return self.run_id

    @property
    def record(self) -> RunRecord:
        """To be written beside the model, when training ends; includes the run's id if the store has
        answered.
        """
        return RunRecord(self._record.run_key, self._record.variant, self._record.pipeline, self.run_id)


@contextmanager
def open_variant_run(
    variant: str,
    *,
    stage: str,
    params: Mapping[str, object],
    data: str,
    record: RunRecord | None = None,
    datasets: Sequence[Mapping[str, str]] = (),
    fresh: bool = False,
) -> Iterator[VariantRun]:
    """Log to the run of `variant` while the body runs. Neither entering nor leaving fails on account of the
    store.

    Args:
        variant: mlp, transformer, ...: the name of the run.
        stage: "train" starts the run and ends it; any other adds to the run that `record` names.
        params: all of params.yaml as plain values. With `data` they name the parent run, see `pipeline_key`.
        data: hash of the data set, see `provenance.tables_digest`.
        record: written by the train stage; None there. A training that was interrupted is found without one.
        datasets: what the stage reads, see `provenance.dataset_entry`.
        fresh: begin a new run even though an interrupted training of the same configuration could be
            continued.
    """
    pipeline = provenance.pipeline_key(params, data)
    unfinished = runs_folder() / "unfinished" / f"{pipeline}-{variant}.json"
    training = stage == "train"
    if record is None:
        resumable = training and not fresh and unfinished.exists()
        record = RunRecord.read(unfinished) if resumable else RunRecord(uuid.uuid4().hex, variant, pipeline)
    if training:
        record.write(unfinished)
    try:
        with exclusive_journal(f"{pipeline}-{record.run_key}") as journal:
            run = VariantRun(RunRecord(record.run_key, variant, pipeline), journal)
            journal.append("open", **_opening(run, stage, params, data))
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


def _opening(run: VariantRun, stage: str, params: Mapping[str, object], data: str) -> dict[str, object]:
    """The event from which `tree.open_child` finds or creates parent and child."""
    record = run.record
    seed = params.get("seed", 0)
    mapper, resampler = VARIANTS.get(record.variant, (record.variant, None))
    return {
        "stage": stage,
        "variant": record.variant,
        "pipeline": record.pipeline,
        "run_key": record.run_key,
        "run_name": f"{record.variant} (seed {seed})",
        "parent_name": f"seed {seed} ({record.pipeline[:6]})",
        "params": provenance.flatten(params),
        "variant_params": provenance.flatten(
            {"variant": record.variant, "mapper": mapper, "resampler": resampler}
        ),
        "tags": provenance.dvc_tags(record.variant) | {"data": data},
        "origin": provenance.git_tags() | provenance.source_tags(stage),
        "time": _now(),
    }
