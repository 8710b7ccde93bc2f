"""Which reference of which image, in which order: a function of seed and epoch alone."""

from collections.abc import Iterator
from itertools import cycle, islice

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
        lengths: token count of every reference of every image.
        batch_size: examples of one optimizer step, over all processes and accumulated pieces.
    """

    def __init__(self, lengths: list[list[int]], batch_size: int, seed: int):
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer's data loader before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # 2^20 epochs a seed: neighbouring seeds never share a stream.
        generator = torch.Generator().manual_seed(self.seed * 2**20 + self.epoch)
        chosen = [int(torch.randint(len(refs), (1,), generator=generator)) for refs in self.lengths]
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        order = list(islice(cycle(order), len(self)))
        run = self.batch_size * MEGABATCH
        batches = []
        for start in range(0, len(order), run):
            rows = sorted(order[start : start + run], key=lambda row: self.lengths[row][chosen[row]])
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        for i in torch.randperm(len(batches), generator=generator).tolist():
            yield from ((row, chosen[row]) for row in batches[i])
