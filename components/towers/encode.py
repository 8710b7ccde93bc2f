"""The frozen vision tower at work: pictures in, hidden states and pooled embeddings out."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, CLIPModel

from components.data.features import feature_table, identity_of, mean_frames, pad_frames
from components.data.tables import Tables
from components.data.views import augment

WEIGHTS = ("model.safetensors", "preprocessor_config.json", "config.json")


def encoder_id(clip_folder: str | Path, feature_layer: int) -> str:
    """Hash of all that decides the features besides the picture: weights, preprocessing, layer."""
    digest = hashlib.sha256(f"layer {feature_layer}".encode())
    for name in WEIGHTS:
        path = Path(clip_folder) / name
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


class VisionEncoder:
    """CLIP's vision half with its own preprocessing, from a tower folder.

    `feature_layer` picks the hidden states: -1 the last, -2 the penultimate, before CLIP's final layer norm.
    """

    def __init__(self, clip_folder: str | Path, feature_layer: int = -1):
        self.folder, self.feature_layer = Path(clip_folder), feature_layer
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.clip = CLIPModel.from_pretrained(clip_folder).eval().to(self.device)
        self.processor = AutoImageProcessor.from_pretrained(clip_folder, backend="pil")

    @property
    def encoder_id(self) -> str:
        """See the function of this name."""
        return encoder_id(self.folder, self.feature_layer)

    @torch.inference_mode()
    def __call__(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """[n x 3 x h x w] -> hidden states [n x num_tokens x width], unit embeddings [n x projection]."""
        outputs = self.clip.vision_model(pixel_values=pixel_values.to(self.device), output_hidden_states=True)
        embeds = normalize(self.clip.visual_projection(outputs.pooler_output), dim=-1)
        return outputs.hidden_states[self.feature_layer].cpu(), embeds.cpu()

    def encode(
        self,
        tables: Tables,
        image_ids: Sequence[str],
        batch_size: int,
        progress: Callable[[int], None] = lambda n: None,
        views: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features and embeddings of `image_ids`, in order, a row a frame.

        Args:
            batch_size: frames at a time.
            progress: called with the number of frames after each batch.
            views: the augmented view of each image (`components.data.views`); None: the images as they are.
        """
        parts = []
        frames = frames_of(tables, image_ids, views)
        while batch := list(islice(frames, batch_size)):
            parts.append(self(self.processor(batch, return_tensors="pt")["pixel_values"]))
            progress(len(batch))
        features, embeds = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(embeds)


def frames_of(
    tables: Tables, image_ids: Sequence[str], views: Sequence[int] | None = None
) -> Iterator[Image.Image]:
    """All frames of all images, one after the other; opened when asked for."""
    if views is None or not any(views):
        for image_id in image_ids:
            yield from tables.open_frames(image_id)
        return
    digests = dict(zip(tables.images["image_id"], tables.images["sha256"], strict=True))
    for image_id, view in zip(image_ids, views, strict=True):
        yield from augment(tables.open_frames(image_id), digests[image_id], view)


class LiveFeatures:
    """`components.data.features.Features` without a store: pictures are encoded whenever they are asked for.

    Features are rounded to float16, as a store keeps them, so that both give the same numbers.
    """

    def __init__(self, tables: Tables, encoder: VisionEncoder, batch_size: int = 128, views: int = 1):
        self.tables, self.encoder, self.batch_size = tables, encoder, batch_size
        table = feature_table(tables.images, encoder.encoder_id, views)
        self.identity = identity_of(table)
        self._lengths = dict(zip(table["image_id"], table["num_frames"], strict=True))

    def batch(self, image_ids: list[str], views: list[int] | None = None) -> dict[str, Tensor]:
        """See `Features`."""
        features, _ = self.encoder.encode(self.tables, image_ids, self.batch_size, views=views)
        return pad_frames(features.half().float(), self._frames(image_ids))

    def image_embeds(self, image_ids: list[str]) -> Tensor:
        """See `Features`."""
        parts = [
            self.encoder.encode(self.tables, image_ids[start : start + self.batch_size], self.batch_size)[1]
            for start in range(0, len(image_ids), self.batch_size)
        ]
        return mean_frames(torch.cat(parts), self._frames(image_ids))

    def _frames(self, image_ids: list[str]) -> np.ndarray:
        return np.array([self._lengths[image_id] for image_id in image_ids])
