"""Rows of features, a batch gathered at once: from shards on disk, or from a copy of all of them in memory.

Both are asked for runs of rows, `lengths[i]` of them from row `starts[i]` of shard `shards[i]`, and give them
one after the other: a picture is a run of one row, a clip has one a frame.
"""

import mmap
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from components.errors import UserError

OPEN_FILES = 256  # memory maps held at a time: each costs a file descriptor


class Rows(Protocol):
    """Where features are gathered from."""

    def take(self, shards: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Tensor:
        """The runs of rows [b] each -> [rows x ...], as they are stored."""


class DiskRows:
    """The arrays `kind`-00000.npy, ... of a folder, mapped: nothing is copied but the rows asked for."""

    def __init__(self, folder: Path, kind: str, numbers: Iterable[int]):
        """Look at every shard of `numbers`.

        Raises:
            UserError: one of them is not readable.
        """
        self.folder, self.kind = folder, kind
        self.map = lru_cache(OPEN_FILES)(self._map)
        shapes = {int(number): self.map(int(number)).shape for number in numbers}
        self.lengths = {number: length for number, (length, *_) in shapes.items()}
        self.shape = next(iter(shapes.values()))[1:]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        row = self.map(next(iter(self.lengths)))[:1]
        return sum(self.lengths.values()) * row.nbytes

    def _map(self, number: int) -> np.memmap:
        path = self.folder / f"{self.kind}-{number:05d}.npy"
        try:
            return np.load(path, mmap_mode="c")  # never written; torch warns of arrays that are read-only
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: unreadable ({error}). Delete the folder and run `dvc repro features`."
            ) from None

    def take(self, shards: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Tensor:
        """See `Rows`; in host memory.

        First the system is told of all that will be read: by itself it would read three times as much around
        each row, and one row after the other. Then runs are copied whole: indexing an array copies number by
        number, a quarter as fast.
        """
        runs = list(zip(shards.tolist(), starts.tolist(), (starts + lengths).tolist(), strict=True))
        for shard, start, stop in runs:
            _announce(self.map(shard), start, stop)
        arrays = {shard: self.map(shard).view(np.ndarray) for shard in set(shards.tolist())}
        return torch.from_numpy(np.concatenate([arrays[shard][start:stop] for shard, start, stop in runs]))


def _announce(array: np.memmap, start: int, stop: int) -> None:
    """Let the system read rows `start` to `stop` now, in the background."""
    first, last = (array.offset + row * array.strides[0] for row in (start, stop))
    first -= first % mmap.PAGESIZE
    array.base.madvise(mmap.MADV_WILLNEED, first, last - first)


class HeldRows:
    """A copy of all shards in the memory of `device`, gathered there: on a GPU nothing has to be moved."""

    def __init__(self, disk: DiskRows, device: torch.device):
        numbers, lengths = list(disk.lengths), list(disk.lengths.values())
        self._first = np.zeros(max(numbers) + 1, dtype=np.int64)
        self._first[numbers] = np.cumsum([0, *lengths[:-1]])
        self._shape, self.device = disk.shape, device
        table = torch.empty((sum(lengths), *disk.shape), dtype=torch.float16, device=device)
        for number, part in zip(numbers, table.split(lengths), strict=True):
            part.copy_(torch.from_numpy(disk.map(number).view(np.ndarray)))
        # 8 bytes at a time; and rows of so few numbers are shared out whole among torch's threads
        self._words = table.flatten(1)
        if self._words.shape[1] % 4 == 0:
            self._words = self._words.view(torch.int64)

    def take(self, shards: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> Tensor:
        """See `Rows`; on the device."""
        rows = torch.from_numpy(spans(self._first[shards] + starts, lengths)).to(self.device)
        return self._words.index_select(0, rows).view(torch.float16).unflatten(1, self._shape)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """`lengths[i]` numbers from `starts[i]` on, one i after the other: [b], [b] -> [sum of lengths]."""
    return np.repeat(starts - lengths.cumsum() + lengths, lengths) + np.arange(lengths.sum())
