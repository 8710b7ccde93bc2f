"""Images a second from the feature store at full size (50 x 768, float16, batches of 256, at random), as a
ratio of what a plain gather of the same rows takes; and how many arrive on a GPU, where there is one.

    python -m benchmarks.loader                # 10,000 images; 0.8 GB on disk for a moment

`a plain float16 gather` is `array[rows]`, with as many threads as torch has; `index_select` copies whole
rows, and is the most that there is to get.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from benchmarks.features import generate
from components.features.store import FeatureStore
from components.program import command_line

IMAGES, TOKENS, WIDTH, PROJECTION = 10_000, 50, 768, 512
BATCH, BATCHES = 256, 39
PLAIN = "a plain float16 gather"

Pass = Callable[[np.ndarray], Iterable[Tensor]]
"""Batches of row numbers [n x b] -> their features, one batch after the other."""


def images_a_second(read: Pass, number: int, passes: int = 5) -> float:
    """Of the fastest of some passes over the same random order."""
    order = np.random.default_rng(0).permutation(number)[: BATCH * BATCHES].reshape(BATCHES, BATCH)
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        for _ in read(order):
            pass
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return order.size / min(times)


def from_store(store: FeatureStore, ids: list[str], order: np.ndarray) -> Iterable[Tensor]:
    """In this process."""
    return (store.batch([ids[row] for row in rows])["vision_features"] for rows in order)


def ahead(store: FeatureStore, ids: list[str], readers: int, order: np.ndarray) -> Iterable[Tensor]:
    """By other processes, as in training; pinned, and on to the GPU, where there is one."""
    gpu = torch.cuda.is_available()

    def batch(rows: list[np.ndarray]) -> Tensor:
        return store.batch([ids[row] for row in rows[0]])["vision_features"]

    loader = DataLoader(list(order), 1, collate_fn=batch, num_workers=readers, pin_memory=gpu)
    return (features.to("cuda", non_blocking=True) if gpu else features for features in loader)


def forget(folder: Path) -> None:
    """What the system keeps of the files in memory, it drops (Linux)."""
    os.sync()
    for path in folder.glob("*.npy"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    """Print a row a way of reading."""
    command_line(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ids = generate(folder, IMAGES, TOKENS, WIDTH, PROJECTION)
        forget(folder)
        cold = images_a_second(partial(from_store, FeatureStore(folder), ids), len(ids), passes=1)
        plain = torch.cat([torch.from_numpy(np.load(path)) for path in sorted(folder.glob("shard-*.npy"))])
        disk, host = FeatureStore(folder), FeatureStore(folder, "host")
        ways: dict[str, Pass] = {
            PLAIN: lambda order: (plain[torch.from_numpy(rows)] for rows in order),
            "index_select": lambda order: (plain.index_select(0, torch.from_numpy(rows)) for rows in order),
            "resident: host": partial(from_store, host, ids),
            "resident: disk": partial(from_store, disk, ids),
            "resident: disk, 2 readers": partial(ahead, disk, ids, 2),
        }
        if torch.cuda.is_available():
            ways["resident: host, 2 readers, to the GPU"] = partial(ahead, host, ids, 2)
            ways["resident: gpu"] = partial(from_store, FeatureStore(folder, "gpu"), ids)
        rates = {way: images_a_second(read, len(ids)) for way, read in ways.items()}
        for way, rate in (rates | {"resident: disk, none of it in memory": cold}).items():
            print(f"{way:40}{rate:12,.0f} images a second{rate / rates[PLAIN]:8.2f}x")


if __name__ == "__main__":
    main()
