"""What a run has to say, on disk first: one JSON object a line, in mlruns/unsent/, until the store has it.

Writing a line takes tens of microseconds and needs no store, so logging neither slows nor stops a training; a
process that dies, or a server that is down for a day, loses nothing.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from components.files import atomic_path
from components.tracking.store import runs_folder


def unsent_folder() -> Path:
    """Where journals wait: mlruns/unsent/."""
    folder = runs_folder() / "unsent"
    folder.mkdir(exist_ok=True)
    return folder


class Journal:
    """Events in the order they happened, and how far the store has them.

    Three neighbours: NAME.jsonl (events), NAME.sent (byte offset and run id), NAME/ (pictures and other
    files).
    """

    def __init__(self, path: Path):
        self.path = path
        self.files = path.with_suffix("")
        self._sent = path.with_suffix(".sent")
        self._writing = threading.Lock()
        progress = json.loads(self._sent.read_text()) if self._sent.exists() else {}
        self.offset: int = progress.get("offset", 0)
        self.run_id: str | None = progress.get("run_id")

    def append(self, kind: str, **event: object) -> None:
        """Write one event, whole, to the operating system."""
        line = json.dumps({"kind": kind, **event}, default=str) + "\n"
        # The lock: system metrics come from a thread of their own.
        with self._writing, self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def size(self) -> int:
        """Bytes written so far; all are sent when `offset` has come to here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def keep(self, name: str) -> Path:
        """A path for a file that goes with an event; pass its name, not the path, in the event."""
        self.files.mkdir(exist_ok=True)
        return self.files / f"{len(list(self.files.iterdir())):06d}-{name}"

    def unsent(self) -> list[tuple[int, dict]]:
        """Events behind the offset, each with the offset that stands after it. A half-written last line
        waits.
        """
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            lines = file.readlines()
        events, end = [], self.offset
        for line in lines:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            events.append((end, _parse(line)))
        return events

    def mark_sent(self, offset: int, run_id: str | None) -> None:
        """Remember that the store has everything before `offset`."""
        self.offset, self.run_id = offset, run_id
        with atomic_path(self._sent) as fresh:
            fresh.write_text(json.dumps({"offset": offset, "run_id": run_id}))

    def reject(self, event: dict, reason: str) -> Path:
        """Put aside an event that the store refuses, so that it does not block those behind it."""
        path = self.path.with_suffix(".rejected")
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**event, "reason": reason}) + "\n")
        return path

    def remove(self) -> None:
        """Everything is in the store (what it refused stays)."""
        for path in (self.path, self._sent):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.files, ignore_errors=True)


@contextmanager
def exclusive_journal(name: str, seconds: float = 3) -> Iterator[Journal]:
    """The journal `name`, held so that no other process writes or sends it.

    Raises:
        filelock.Timeout: another process has held it for `seconds`.
    """
    path = unsent_folder() / f"{name}.jsonl"
    lock = FileLock(path.with_suffix(".lock"), timeout=seconds)
    with lock:
        yield Journal(path)
    if not path.exists():
        path.with_suffix(".lock").unlink(missing_ok=True)


def _parse(line: bytes) -> dict:
    """A line that a full disk cut short becomes an event that the sender puts aside."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return {"kind": "broken", "line": line.decode(errors="replace")}
