"""The task that captions files, here or on another machine, which imports it from here."""

import os
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from components.data.clips import sample_frames
from components.data.pictures import Problem, content
from components.data.shards import Slice
from components.features.ahead import ahead
from flows.parallel import Progress, once
from flows.stage import piece_task

if TYPE_CHECKING:
    from PIL import Image

    from components.model import CaptionModel

BATCH = 32  # pictures and clips that the model sees at a time


@dataclass(frozen=True)
class Batch:
    """Pictures and clips to be captioned by one task."""

    number: int
    files: list[Path]


@piece_task
def caption_batch(
    piece: Batch,
    progress: Progress | None,
    *,
    model: str,
    store: str | None,
    num_frames: int | None,
    bf16: bool,
    torch_compile: bool,
    readers: int = 0,
) -> list[dict[str, str]]:
    """{"caption": ...} of each picture and clip, or {"problem": ...} of one that cannot be read.

    Args:
        num_frames: of a clip; None: as many as the model was trained with.
        readers: threads that open files while the model is at work.
    """
    captioner, rows = _captioner(model, store, bf16, torch_compile), []
    look = partial(_look, number=num_frames or captioner.config.num_frames)
    seen = ahead(look, piece.files, readers, depth=4 * readers)
    while batch := list(islice(seen, BATCH)):
        rows += _captions(captioner, batch)
        if progress is not None:
            progress(len(batch))
    return rows


def _look(file: Path, number: int) -> "list[Image.Image] | Problem":
    try:
        return open_frames(file, number)
    except Problem as problem:
        return problem


def _captions(captioner: "CaptionModel", seen: "list[list[Image.Image] | Problem]") -> list[dict[str, str]]:
    clips = [each for each in seen if not isinstance(each, Problem)]
    captions = iter(captioner.caption(clips) if clips else [])
    return [
        {"problem": each.detail} if isinstance(each, Problem) else {"caption": next(captions)}
        for each in seen
    ]


def open_frames(file: Path, number: int) -> "list[Image.Image]":
    """What a model sees of a picture or clip, as in training: see `sample_frames`.

    Raises:
        Problem: it cannot be read.
    """
    try:
        return sample_frames(content(Slice(file)), number)
    except OSError as error:
        raise Problem("image-unreadable", error.strerror or str(error)) from None


@once
def _captioner(model: str, store: str | None, bf16: bool, torch_compile: bool) -> "CaptionModel":
    """Once a process, not once a batch."""
    from components.model import for_inference
    from components.registry.versions import load_captioner

    if store:
        os.environ.setdefault("MLFLOW_TRACKING_URI", store)
    return for_inference(load_captioner(model), bf16, torch_compile)
