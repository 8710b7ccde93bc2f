"""What the training pictures that CLIP finds most alike say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from components.data.tables import Tables
from components.features.encoder import ClipEncoder
from components.features.store import FeatureStore, mean_frames

BLOCK = 1024  # training pictures compared at a time


@dataclass(frozen=True)
class Neighbour:
    """A training picture or clip: its frames, its captions, and how similar it is (cosine of embeddings)."""

    frames: list[Image.Image]
    captions: list[str]
    similarity: float


class TrainingPictures:
    """The training split of a data set, to be searched.

    Args:
        tables: the whole data set.
        store: its embeddings.
        encoder: the CLIP that made them.

    Raises:
        UserError: the training split is empty.
    """

    def __init__(self, tables: Tables, store: FeatureStore, encoder: ClipEncoder):
        self.tables, self.store, self.encoder = tables.split("train"), store, encoder
        self._ids, self._captions = self.tables.images["image_id"].tolist(), self.tables.references()

    def nearest(self, frames: Sequence[Image.Image], count: int = 4) -> list[Neighbour]:
        """The `count` most similar ones to a picture (one frame) or clip, most similar first.

        Raises:
            UserError: the store lacks a picture, or one cannot be opened.
        """
        query = mean_frames(self.encoder.embeds(frames), np.array([len(frames)]))
        blocks = (self._ids[start : start + BLOCK] for start in range(0, len(self._ids), BLOCK))
        similarity = torch.cat([(query @ self.store.image_embeds(block).T)[0] for block in blocks])
        found = similarity.topk(min(count, len(self._ids)))
        chosen = [self._ids[place] for place in found.indices.tolist()]
        return [
            Neighbour(self.tables.open_frames(image_id), self._captions[image_id], value)
            for image_id, value in zip(chosen, found.values.tolist(), strict=True)
        ]
