"""Which reference of which image, in which order: a function of seed and epoch alone."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Sampler

MEGABATCH = 16
"""Batches are cut from runs of this many shuffled batches sorted by length: little padding, much randomness
left."""


class ReferenceSampler(Sampler[tuple[int, int]]):
    """One random reference of every image an epoch, captions of similar length together.

    Only whole batches: where the images do not fill the last one, some come twice. However many processes and
    pieces a batch is then cut into, it stays the same batch.

    Args:
        lengths: token count of every reference, image by image.
        counts: number of references of every image.
        batch_size: examples of one optimizer step, over all processes and accumulated pieces.
        views: of every image; a reference can be chosen with each of them.
    """

    def __init__(self, lengths: np.ndarray, counts: np.ndarray, batch_size: int, seed: int, views: int = 1):
        self.lengths, self.counts, self.views = lengths, counts, views
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer's data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.counts) // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # 2^20 epochs a seed: neighbouring seeds never share a stream.
        generator = torch.Generator().manual_seed(self.seed * 2**20 + self.epoch)
        chosen = self._choose(generator)
        order = np.resize(torch.randperm(len(self.counts), generator=generator).numpy(), len(self))
        length = self.lengths[self.counts.cumsum() - self.counts + chosen % self.counts]
        run = self.batch_size * MEGABATCH
        runs = [order[start : start + run] for start in range(0, len(order), run)]
        ordered = np.concatenate([rows[np.argsort(length[rows], kind="stable")] for rows in runs])
        batches = ordered.reshape(-1, self.batch_size)
        for batch in batches[torch.randperm(len(batches), generator=generator).numpy()]:
            yield from zip(batch.tolist(), chosen[batch].tolist(), strict=True)

    def _choose(self, generator: torch.Generator) -> np.ndarray:
        """A reference and view of each image [n]: the remainder of one number for all, of which any count is
        a divisor (or which is so large that it makes no difference).
        """
        counts = self.counts * self.views
        multiple = min(math.lcm(*np.unique(counts).tolist()), 2**62)
        return torch.randint(multiple, (len(counts),), generator=generator).numpy() % counts
