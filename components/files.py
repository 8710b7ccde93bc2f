"""Outputs appear whole or not at all."""

import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on any failure.

    Serves files and folders alike: the body creates either at the yielded path. What stood at `path` before
    stays until the new content is complete.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        fresh = scratch / path.name
        yield fresh
        if path.is_dir():  # a non-empty folder cannot be replaced in one step: move it out of the way first
            path.replace(scratch / "old")
        fresh.replace(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def follow_umask(folder: Path) -> None:
    """Give the weights in `folder` the mode of any new file: safetensors writes its files for their owner
    alone (0600), whatever the umask says.
    """
    probe = folder / ".mode"
    probe.touch()
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)
