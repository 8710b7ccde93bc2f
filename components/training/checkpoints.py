"""Where an interrupted training goes on, and when it must not.

Checkpoints are neither input nor result of a stage: they lie in a folder of their own, unknown to DVC. A
checkpoint belongs to exactly one combination of parameters, data and code; its folder carries their
fingerprint, and any other training starts anew.
"""

import hashlib
import json
import shutil
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from components.code import code_digest


def fingerprint(**ingredients) -> str:
    """Hash of everything that a resume must find unchanged: `ingredients` (JSON-able), and the code that
    trains."""
    ingredients["code"] = code_digest(["components.training.train"])
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True, default=str).encode()).hexdigest()


def claim(folder: str | Path, mark: str) -> str | None:
    """Make `folder` the place for the checkpoints of the training `mark`; return the checkpoint to resume
    from, if any. Of several processes the first calls it first; the others then change nothing."""
    folder = Path(folder)
    stamp = folder / "fingerprint"
    if not (stamp.exists() and stamp.read_text() == mark):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        stamp.write_text(mark)
    return get_last_checkpoint(str(folder))
