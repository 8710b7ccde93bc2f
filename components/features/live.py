"""`components.features.store.Features` without a store: the frozen vision tower at every request."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from components.data.tables import Tables
from components.features.residence import Residence
from components.features.store import feature_table, identity_of, mean_frames, pad_frames

if TYPE_CHECKING:
    from components.features.encoder import ClipEncoder


class LiveFeatures:
    """Pictures are encoded whenever they are asked for.

    In float16, as a store keeps them, so that both give the same numbers.
    """

    residence = Residence("live", "encoded whenever they are asked for")

    def __init__(self, tables: Tables, encoder: "ClipEncoder", batch_size: int = 128, views: int = 1):
        self.tables, self.encoder, self.batch_size = tables, encoder, batch_size
        table = feature_table(tables.images, encoder.encoder_id, views)
        self.identity = identity_of(table)
        self._lengths = dict(zip(table["image_id"].tolist(), table["num_frames"], strict=True))

    def batch(self, image_ids: list[str], views: list[int] | None = None) -> dict[str, Tensor]:
        """See `Features`."""
        features, _ = self.encoder.encode(self.tables, image_ids, self.batch_size, views=views)
        return pad_frames(features, self._frames(image_ids))

    def image_embeds(self, image_ids: list[str]) -> Tensor:
        """See `Features`."""
        parts = [
            self.encoder.encode(self.tables, image_ids[start : start + self.batch_size], self.batch_size)[1]
            for start in range(0, len(image_ids), self.batch_size)
        ]
        return mean_frames(torch.cat(parts), self._frames(image_ids))

    def _frames(self, image_ids: list[str]) -> np.ndarray:
        return np.array([self._lengths[image_id] for image_id in image_ids])
