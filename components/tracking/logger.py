"""Logging that never slows or stops a training: a journal on disk, and a thread that carries it to MLflow."""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import UserError
from components.tracking import provenance
from components.tracking import store as stores
from components.tracking.faults import explain
from components.tracking.journal import Journal
from components.tracking.sender import send, send_waiting

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SECONDS_BETWEEN_SENDS = 2.0
LONGEST_PAUSE = 60.0
_SENT_BY = "and sent by the next stage, or by: python -m components.tracking.send_later"


def now() -> int:
    """Milliseconds, as MLflow counts time."""
    return time.time_ns() // 1_000_000


class VariantRun:
    """What a stage logs to the run of its variant. Nothing waits for the store, or raises on its account.

    Its being down or locked costs one warning; the journal keeps everything for a later process to send.
    """

    def __init__(self, variant: str, journal: Journal):
        self.variant, self.journal = variant, journal
        self._store: stores.Store | None = None
        self._wake, self._stopping = threading.Event(), False
        self._failures = 0
        self._trouble: str | None = None  # what the user was warned about
        self._thread = threading.Thread(target=self._run, name="mlflow-sender", daemon=True)

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None until the store has answered once."""
        return self.journal.run_id

    def require_id(self) -> str:
        """MLflow's id of the run, for what cannot wait: the registry.

        Raises:
            UserError: the store does not answer.
        """
        if self.run_id is None and not self.flush():
            raise UserError(
                f"The run of '{self.variant}' is not in MLflow: {self._trouble or 'no answer yet'}"
            )
        return self.run_id

    def made(self, *, model: str | Path | None = None, results: str | Path | None = None) -> None:
        """Tag the run by the weights (or scores) left in a folder: later stages find it by them."""
        if model:
            self.set_tags({"weights": provenance.weights_digest(model)})
        if results:
            self.set_tags({"scores": provenance.scores_digest(results)})

    def log_metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record numbers under the names of `components.tracking.names`."""
        if values:
            when = now()
            rows = [[name, float(value), when, step] for name, value in values.items()]
            self.record("log_batch", metrics=rows)

    def log_params(self, values: Mapping[str, object]) -> None:
        """Record what does not change in a run; what the run says already, it keeps."""
        self.record("describe", params=dict(_strings(values)))

    def set_tags(self, values: Mapping[str, object]) -> None:
        """Set or overwrite tags."""
        self.record("log_batch", tags=_strings(values))

    def log_text(self, text: str, name: str, folder: str = "") -> None:
        self.record("log_text", text=text, artifact_file=f"{folder}/{name}".lstrip("/"))

    def log_table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows to the table `name`, a .json artifact, which the UI compares across runs."""
        if rows:
            columns = {column: [row[column] for row in rows] for column in rows[0]}
            self.record("log_table", data=columns, artifact_file=name)

    def log_image(self, key: str, image: "Image", step: int = 0) -> None:
        """Record a picture; those with one key are browsed by step in the UI."""
        if file := self._keep(f"{key.replace('/', '-')}.png", image.save):
            self.record("log_image", image=file, key=key, step=step, timestamp=now(), synchronous=True)

    def log_artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Record a copy of a file or folder, as it is now, under `folder` among the run's artifacts."""
        path = Path(path)
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        if file := self._keep(path.name, lambda to: copy(path, to)):
            self.record("log_artifact", local_path=file, artifact_path=folder)

    def record(self, method: str, **arguments: object) -> None:
        """Have the store make a call, of `MlflowClient` about this run or of `components.tracking.tree`."""
        try:
            self.journal.append(method, arguments)
        except OSError as error:  # a full disk stops the training in its own way, at the next checkpoint
            self._warn(f"{self.journal.path}: {error.strerror}: what is logged now is lost.", kept=False)

    def start(self) -> None:
        """Begin to send."""
        stores.import_mlflow()  # in the caller's thread: two threads importing can trip over each other
        self._thread.start()

    def flush(self, seconds: float = 30.0) -> bool:
        """Whether the store has everything logged so far. Waits, but not for a store that fails."""
        end, failures = self.journal.size(), self._failures
        deadline = time.monotonic() + seconds
        self._wake.set()
        while self.journal.offset < end and self._failures == failures and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.journal.offset >= end

    def finish(self, seconds: float = 30.0) -> None:
        """Flush and stop."""
        complete = self.flush(seconds)
        self._stopping = True
        self._wake.set()
        if complete:
            self._thread.join(seconds)
            self.journal.remove()
        else:
            self._warn(f"the store did not take everything within {seconds:.0f} s.")

    def _keep(self, name: str, write: Callable[[Path], object]) -> str | None:
        """Write a file for the journal to hold; its name there, or None if that failed."""
        try:
            write(path := self.journal.keep(name))
        except OSError as error:
            self._warn(f"'{name}' could not be kept for the run: {error}", kept=False)
            return None
        return str(path.relative_to(self.journal.files))

    def _run(self) -> None:
        """The thread: send, rest, send."""
        pause = SECONDS_BETWEEN_SENDS
        while not self._stopping:
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping:
                break
            failed = self._try_to_send()
            pause = min(max(pause * 2, 5.0), LONGEST_PAUSE) if failed else SECONDS_BETWEEN_SENDS
            self._failures += failed

    def _try_to_send(self) -> bool:
        """Send what there is; True if the store did not take it."""
        try:
            if self._store is None:
                self._store = stores.connect()
                send_waiting(self._store)  # before our own: it may hold the training that we add to
            complaints = send(self.journal, self._store)
        except Exception as error:  # whatever it is, a training must not end for it
            self._warn(explain(error))
            return True
        for complaint in complaints:
            self._warn(complaint)
        return False

    def _warn(self, reason: str, kept: bool = True) -> None:
        """Once a run: the first reason is the one to act on."""
        if self._trouble is None:
            self._trouble = reason
            more = f" The stage goes on; the rest is kept in {self.journal.path.parent} {_SENT_BY}"
            log.warning("MLflow: %s%s", reason, more if kept else "")


def _strings(values: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in values.items()]
