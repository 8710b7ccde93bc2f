"""Which reference of which image, in which order: a function of seed and epoch alone."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

MEGABATCH = 16
"""Batches are cut from runs of this many shuffled batches sorted by length: little padding, much randomness
left."""


class ReferenceSampler(Sampler[tuple[int, int]]):
    """One random reference of every image an epoch, captions of similar length together.

    Args:
        lengths: token count of every reference of every image.
        batch_size: how many examples the batches (over all processes) are cut into; whole batches are
            shuffled and
            an incomplete one comes last, so that cutting finds the boundaries again.
    """

    def __init__(self, lengths: list[list[int]], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer's data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # 2^20 epochs a seed: neighbouring seeds never share a stream.
        generator = torch.Generator().manual_seed(self.seed * 2**20 + self.epoch)
        chosen = [int(torch.randint(len(refs), (1,), generator=generator)) for refs in self.lengths]
        order = torch.randperm(len(self), generator=generator).tolist()
        run = self.batch_size * MEGABATCH
        batches = []
        for start in range(0, len(order), run):
            rows = sorted(order[start : start + run], key=lambda row: self.lengths[row][chosen[row]])
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        for i in torch.randperm(len(full), generator=generator).tolist():
            yield from ((row, chosen[row]) for row in full[i])
        for batch in rest:
            yield from ((row, chosen[row]) for row in batch)
