"""The model at work on a split: captions of every image, and the likelihood of the references.

Both take the images as `inputs`: a function from image ids to the model's own arguments, for instance
`lambda ids: {"vision_features": store.vision_features(ids)[:, None]}`. The order of the images is the
caller's, and nothing is random.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.features.text import IGNORED
from components.progress import progress_bar

Inputs = Callable[[list[str]], dict[str, Tensor]]
"""Image ids -> {"vision_features": [B x F x N x D]} or {"pixel_values": ...}, with "frame_mask" if clips
differ.
"""


@dataclass(frozen=True)
class Decoded:
    """image_id -> caption, and whether the model ended it by itself."""

    captions: dict[str, str]
    ended: dict[str, bool]


@torch.inference_mode()
def decode(
    model: Any,
    processor: Any,
    image_ids: Sequence[str],
    inputs: Inputs,
    batch_size: int = 64,
    progress: str | None = "captions",
    **generate: Any,
) -> Decoded:
    """Caption every image.

    Args:
        model: a `CaptionModel`; left in the mode (train or eval) that it was in.
        processor: its `CaptionProcessor`.
        inputs: the images of a batch, see the module.
        batch_size: images at a time.
        progress: what to call the progress bar; None shows none.
        generate: arguments of `model.generate`, in place of those in the model's `generation_config`.
    """
    captions, ended, image_ids = {}, {}, list(image_ids)
    with _evaluating(model), progress_bar(len(image_ids), progress) as bar:
        for start in range(0, len(image_ids), batch_size):
            batch = image_ids[start : start + batch_size]
            sequences = model.generate(**_to(inputs(batch), model.device), **generate)
            captions |= zip(batch, processor.batch_decode(sequences), strict=True)
            # BOS and EOS are the same token in GPT-2: the first place is the beginning, any later one an end.
            ends = (sequences[:, 1:] == model.config.eos_token_id).any(dim=1)
            ended |= zip(batch, ends.tolist(), strict=True)
            bar.update(len(batch))
    return Decoded(captions, ended)


@torch.inference_mode()
def likelihood(
    model: Any,
    processor: Any,
    references: Mapping[str, Sequence[str]],
    inputs: Inputs,
    shown: Mapping[str, str] | None = None,
    batch_size: int = 64,
    progress: str | None = "perplexity",
) -> np.ndarray:
    """How well the model foresees the references, token by token (teacher forcing).

    BOS is not counted: it stands at the start of every caption, and foreseeing it would flatter the model.

    Args:
        references: image_id -> captions.
        inputs: the images of a batch, see the module.
        shown: image_id -> image to show in its place (the blind baseline).
        batch_size: captions at a time.

    Returns:
        [n x 2] in the order of `references`: summed negative log-likelihood and number of tokens, over all
        captions of an image; `METRICS["perplexity"]` makes a perplexity of them.
    """
    from torchmetrics.text import Perplexity  # imports slowly

    metric, rows = Perplexity(ignore_index=IGNORED).to(model.device), {}
    with _evaluating(model), progress_bar(len(references), progress) as bar:
        for batch in _equal_batches(references, batch_size):
            images = batch if shown is None else [shown[image_id] for image_id in batch]
            captions = [caption for image_id in batch for caption in references[image_id]]
            text = _to(processor(text=captions), model.device)
            logits = model(**_to(inputs(images), model.device), **text).logits
            labels = text["labels"][:, 1:].chunk(len(batch))
            logits = logits[:, -text["labels"].shape[1] : -1].float().chunk(len(batch))  # foreseeing `labels`
            for image_id, part, target in zip(batch, logits, labels, strict=True):
                metric.reset()
                metric.update(part, target)
                rows[image_id] = (float(metric.total_log_probs), float(metric.count))
            bar.update(len(batch))
    return np.array([rows[image_id] for image_id in references])


def _equal_batches(references: Mapping[str, Sequence[str]], batch_size: int) -> Iterator[list[str]]:
    """Image ids with about `batch_size` captions, equally many an image, as the model takes them."""
    groups: dict[int, list[str]] = {}
    for image_id, captions in references.items():
        groups.setdefault(len(captions), []).append(image_id)
    for count, image_ids in groups.items():
        step = max(1, batch_size // max(1, count))
        yield from (image_ids[start : start + step] for start in range(0, len(image_ids), step))


def _to(inputs: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in inputs.items()}


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout, and afterwards as it was: training goes on after a validation."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
