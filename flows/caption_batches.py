"""The task that captions a batch of files, here or on another machine, which imports it from here."""

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from components.data.pictures import Problem, load_rgb
from flows.parallel import Progress, once
from flows.stage import piece_task

CLIPS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}


@dataclass(frozen=True)
class Batch:
    """Pictures and clips to be captioned at a time."""

    number: int
    files: list[Path]


@piece_task
def caption_batch(
    piece: Batch,
    progress: Progress | None,
    *,
    model: str,
    store: str | None,
    num_frames: int,
    bf16: bool,
    torch_compile: bool,
) -> list[dict[str, str]]:
    """{"caption": ...} of each picture and clip, or {"problem": ...} of one that cannot be read."""
    captioner, seen, rows = _captioner(model, store, bf16, torch_compile), [], []
    for file in piece.files:
        try:
            seen.append(open_frames(file, num_frames))
            rows.append({})
        except Problem as problem:
            rows.append({"problem": problem.detail})
    captions = iter(captioner.caption(seen) if seen else [])
    if progress is not None:
        progress(len(rows))
    return [row or {"caption": next(captions)} for row in rows]


def open_frames(file: Path, number: int) -> list[Image.Image]:
    """The one frame of a picture, or `number` frames of a clip, evenly sampled: as for training.

    Raises:
        Problem: it cannot be read.
    """
    if file.suffix.lower() not in CLIPS:
        return [load_rgb(file)]
    from components.data.sources.video import sample_frames

    return sample_frames(file.read_bytes(), number)


@once
def _captioner(model: str, store: str | None, bf16: bool, torch_compile: bool):
    """Once a process, not once a batch."""
    from components.model import for_inference
    from components.registry.versions import load_captioner

    if store:
        os.environ.setdefault("MLFLOW_TRACKING_URI", store)
    return for_inference(load_captioner(model), bf16, torch_compile)
