"""Logging that never slows or stops a training: a journal on disk, and a thread that carries it to MLflow."""

import logging
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.tracking import store as stores
from components.tracking.faults import explain
from components.tracking.journal import Journal
from components.tracking.sender import send, send_waiting

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

SECONDS_BETWEEN_SENDS = 2.0
LONGEST_PAUSE = 60.0


def _now() -> int:
    return time.time_ns() // 1_000_000


class RunLogger:
    """What a stage logs to its run. All methods return at once and raise nothing on account of the store.

    The store being down or locked costs one warning; the journal keeps everything until a later process can
    send it.
    """

    def __init__(self, journal: Journal):
        self.journal = journal
        self._store: stores.Store | None = None
        self._wake, self._stopping = threading.Event(), False
        self._attempt = threading.Condition()
        self._failures = 0
        self.trouble: str | None = None  # what the store was warned about
        self._thread = threading.Thread(target=self._run, name="mlflow-sender", daemon=True)

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None until the store has answered once."""
        return self.journal.run_id

    @property
    def _kept(self) -> str:
        return (
            f"The stage goes on; what it logs is kept in {self.journal.path} and sent by the next stage, "
            "or by: python -m components.tracking.send_later"
        )

    def start(self) -> None:
        """Begin to send. MLflow is imported here, in the caller's thread: two threads importing can trip over
        each other.
        """
        stores.import_mlflow()
        self._thread.start()

    def log_metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers under the names of `components.tracking.names`."""
        if values:
            numbers = {name: float(value) for name, value in values.items()}
            self._append("metrics", values=numbers, step=step or 0, time=_now())

    def log_params(self, values: Mapping[str, object]) -> None:
        """Record parameters; one that the run already has keeps its value."""
        self._append("params", values={name: str(value) for name, value in values.items()})

    def set_tags(self, values: Mapping[str, object]) -> None:
        """Set or overwrite tags."""
        self._append("tags", values={name: str(value) for name, value in values.items()})

    def log_dataset(self, entry: Mapping[str, str]) -> None:
        """Record a data set that the run reads, as `provenance.dataset_entry` describes it."""
        self._append("dataset", entry=dict(entry))

    def log_image(self, key: str, image: "Image", step: int = 0) -> None:
        """Record a picture; those with one key are browsed by step in the UI."""
        self._append_file(
            "image", f"{key.replace('/', '-')}.png", image.save, key=key, step=step, time=_now()
        )

    def log_table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows to the table `name` (a .json artifact), which the UI shows and compares across runs."""
        columns = {column: [row[column] for row in rows] for column in (rows[0] if rows else ())}
        if columns:
            self._append("table", name=name, columns=columns)

    def log_artifact(self, path: str | Path, folder: str = "") -> None:
        """Record a copy of a file or folder, as it is now, under `folder` among the run's artifacts."""
        path = Path(path)
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        self._append_file("artifact", path.name, lambda to: copy(path, to), name=path.name, folder=folder)

    def log_text(self, text: str, name: str, folder: str = "") -> None:
        """Record a text file."""
        write = lambda to: Path(to).write_text(text, encoding="utf-8")  # noqa: E731
        self._append_file("artifact", name, write, name=name, folder=folder)

    def flush(self, seconds: float = 30.0) -> bool:
        """Wait until the store has everything logged so far, but no longer than `seconds`, nor for a store
        that fails.
        """
        end = self.journal.size()
        before = self._failures
        self._wake.set()
        with self._attempt:
            self._attempt.wait_for(
                lambda: self.journal.offset >= end or self._failures > before, timeout=seconds
            )
        return self.journal.offset >= end

    def finish(self, status: str | None, seconds: float = 30.0) -> bool:
        """Log the run's end (unless `status` is None), flush and stop; True if the store has everything."""
        if status:
            self._append("close", status=status, time=_now())
        complete = self.flush(seconds)
        self._stopping = True
        self._wake.set()
        if complete:
            self._thread.join(seconds)
            self.journal.remove()
        else:
            self._warn(f"the store did not take everything within {seconds:.0f} s. {self._kept}")
        return complete

    def _append(self, kind: str, **event: object) -> None:
        try:
            self.journal.append(kind, **event)
        except OSError as error:  # a full disk stops the training in its own way, at the next checkpoint
            self._warn(
                f"{self.journal.path} cannot be written ({error.strerror}): what is logged now is lost."
            )

    def _append_file(self, kind: str, filename: str, write, **event: object) -> None:
        try:
            path = self.journal.keep(filename)
            write(path)
        except OSError as error:
            self._warn(f"'{filename}' could not be kept for the run: {error}")
            return
        self._append(kind, **({"file": path.name} | event))

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
            with self._attempt:
                self._failures += failed
                self._attempt.notify_all()

    def _try_to_send(self) -> bool:
        """Send what there is; True if the store did not take it."""
        try:
            if self._store is None:
                self._store = stores.connect()
                send_waiting(self._store)  # before our own: it may hold the training that we add to
            complaints = send(self.journal, self._store)
        except Exception as error:  # whatever it is, a training must not end for it
            self._warn(f"{explain(error)} {self._kept}")
            return True
        for complaint in complaints:
            self._warn(f"an entry was refused: {complaint}")
        return False

    def _warn(self, reason: str) -> None:
        """Once a run: the first reason is the one to act on."""
        if self.trouble is None:
            self.trouble = reason
            log.warning("MLflow: %s", reason)
