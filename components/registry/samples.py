"""The pictures of a model card: inside of it, so that it is whole wherever it is read; and as artifacts of
the run, for MLflow's page of a version, which shows no picture that is inside of a text.
"""

import re
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from components.data.display import data_uri, mosaic, shrunk

if TYPE_CHECKING:
    from PIL.Image import Image

    from components.tracking.logger import VariantRun

FOLDER = "test/samples"
LONGEST = 96  # pixels of a side


def embedded(name: str, frames: "Sequence[Image]") -> str:
    """A picture, or what `mosaic` shows of a clip, in Markdown; `name` is told where it cannot be shown."""
    plain = re.sub(r"[^\w .-]", " ", name)
    return f"![{plain}]({data_uri(mosaic(frames), LONGEST)})"


def log_samples(run: "VariantRun", clips: "Sequence[Sequence[Image]]") -> None:
    """Leave the same pictures with the run, numbered from 0."""
    with tempfile.TemporaryDirectory() as folder:
        for number, frames in enumerate(clips):
            path = Path(folder, f"{number}.png")
            shrunk(mosaic(frames), LONGEST).save(path)
            run.log_artifact(path, FOLDER)


def linked(card: str, run_id: str) -> str:
    """`card` with the pictures of its run, as MLflow's server gives them, instead of those inside of it."""
    numbers = count()
    address = f"get-artifact?run_uuid={run_id}&path={FOLDER}"
    return re.sub(r"\(data:image/[^)]*\)", lambda _: f"({address}/{next(numbers)}.png)", card)
