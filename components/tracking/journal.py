"""What a run has to say, on disk first: in mlruns/unsent/, one call of MLflow's client a line.

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
    """Calls in the order they were asked for, and how far the store has them.

    Neighbours: NAME.jsonl (a `method` and its `arguments` a line), NAME.sent (byte offset and run id), NAME/
    (pictures and other files), NAME.rejected (calls that failed for good, and why).
    """

    def __init__(self, path: Path):
        self.path, self.files = path, path.with_suffix("")
        self._sent, self._rejected = path.with_suffix(".sent"), path.with_suffix(".rejected")
        self._writing = threading.Lock()
        progress = json.loads(self._sent.read_text()) if self._sent.exists() else {}
        self.offset: int = progress.get("offset", 0)
        self.run_id: str | None = progress.get("run_id")

    def append(self, method: str, arguments: dict) -> None:
        """Write one call, whole, to the operating system."""
        line = json.dumps({"method": method, "arguments": arguments}, default=str) + "\n"
        # The lock: system metrics come from a thread of their own.
        with self._writing, self.path.open("a", encoding="utf-8") as file:
            file.write(line)

    def size(self) -> int:
        """Bytes written so far; all are sent when `offset` has come to here."""
        return self.path.stat().st_size if self.path.exists() else 0

    def keep(self, name: str) -> Path:
        """A path for a file that goes with a call; what stands in the call is relative to `files`."""
        self.files.mkdir(exist_ok=True)
        folder = self.files / f"{len(list(self.files.iterdir())):06d}"
        folder.mkdir()
        return folder / name

    def unsent(self) -> list[tuple[int, dict]]:
        """Calls behind the offset, each with the offset after it. A half-written last line waits."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.offset)
            lines = file.readlines()
        calls, end = [], self.offset
        for line in lines:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            calls.append((end, _parse(line)))
        return calls

    def mark_sent(self, offset: int) -> None:
        """Remember that the store has everything before `offset`."""
        self.offset = offset
        with atomic_path(self._sent) as fresh:
            fresh.write_text(json.dumps({"offset": offset, "run_id": self.run_id}))

    def reject(self, call: dict, reason: str) -> None:
        """Put aside a call that fails, so that it does not block those behind it."""
        with self._rejected.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**call, "run_id": self.run_id, "reason": reason}) + "\n")

    def restore(self) -> None:
        """Put the rejected calls back, behind all others, for another try."""
        if self._rejected.exists():
            for call in map(_parse, self._rejected.read_bytes().splitlines()):
                self.append(call["method"], call["arguments"])
                self.run_id = self.run_id or call.get("run_id")
            self.mark_sent(self.offset)
            self._rejected.unlink()

    def remove(self) -> None:
        """Everything is in the store; what was rejected stays, with all files."""
        for path in (self.path, self._sent):
            path.unlink(missing_ok=True)
        if not self._rejected.exists():
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
    """A line that a full disk cut short becomes a call that the sender puts aside."""
    try:
        call = json.loads(line)
        if {"method", "arguments"} <= call.keys():
            return call
    except (ValueError, AttributeError):
        pass
    return {"method": "broken line", "arguments": {"line": line.decode(errors="replace")}}
