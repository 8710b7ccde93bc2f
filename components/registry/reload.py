"""Does a registered model caption like the one that was trained? Asked of a fresh process that has nothing
but MLflow.

Both caption the same pictures in the same way: from pixels, in float32, on the CPU. Scoring may have used
kept features, a GPU and bfloat16: captions that differ by their rounding say nothing about a version.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from components.tracking.store import connect

if TYPE_CHECKING:
    from PIL.Image import Image

TIMEOUT = 600
_SCRIPT = """
import json, pathlib, sys
import mlflow.pytorch
from PIL import Image
here = pathlib.Path.cwd()
asked = json.loads((here / "ask.json").read_text())
model = mlflow.pytorch.load_model(asked["model"])
clips = [[Image.open(here / name).convert("RGB") for name in names] for names in asked["clips"]]
code = sys.modules[type(model).__module__].__file__
captions = model.caption(clips)
(here / "answer.json").write_text(json.dumps({"captions": captions, "code": code}))
"""


def reload_problem(model: str, clips: Sequence[Sequence["Image"]], expected: Sequence[str]) -> str | None:
    """Load `model` in a fresh process and caption `clips` again; None if it gives `expected`, else what went
    wrong.

    The process runs in an empty folder and Python's isolated mode: no current folder, no PYTHONPATH, so the
    model's own code is all it has.

    Args:
        model: a URI, such as models:/clip-gpt2-captioner/3.
        clips: the frames of each; a picture is one frame.
        expected: what the trained model's `caption` says of them, on the CPU in float32.
    """
    command = [sys.executable, "-I", "-W", "ignore", "-c", _SCRIPT]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["MLFLOW_TRACKING_URI"] = connect().uri
    with tempfile.TemporaryDirectory(prefix="reload-") as folder:
        names = [[f"{i}-{j}.png" for j in range(len(frames))] for i, frames in enumerate(clips)]
        for name, frame in zip(chain(*names), chain(*clips), strict=True):
            frame.save(Path(folder, name))
        Path(folder, "ask.json").write_text(json.dumps({"model": model, "clips": names}))
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT
            )
        except subprocess.TimeoutExpired:
            return f"loading {model} in a fresh process took more than {TIMEOUT} s"
        answer = Path(folder, "answer.json")
        if not answer.exists():
            last_line = done.stderr.strip().rpartition("\n")[2].strip()
            return f"{model} does not load in a fresh process: {last_line or 'no message'}"
        return _difference(json.loads(answer.read_text()), expected)


def _difference(answer: dict, expected: Sequence[str]) -> str | None:
    """The first caption that is not the expected one, or code that came from this checkout."""
    here = Path(__file__).resolve().parents[1]
    if Path(answer["code"]).resolve().is_relative_to(here):
        return f"the fresh process took the model's code from {here}, not from the model"
    for index, (got, wanted) in enumerate(zip(answer["captions"], expected, strict=True)):
        if got != wanted:
            where = f"image {index} of {len(expected)}"
            return f"reloaded, it captions {where} '{got}', and before it was '{wanted}'"
    return None
