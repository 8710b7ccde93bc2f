"""Images a second from the feature store at full size (50 x 768, float16, batches of 256, at random), as a
ratio of what a plain gather of the same rows takes; and how many arrive on a GPU, where there is one.

    python -m benchmarks.loader                # 10,000 images; 0.8 GB on disk for a moment
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from components.features.store import FeatureStore, plan_shards, seal, write_shard

IMAGES, TOKENS, WIDTH, PROJECTION = 10_000, 50, 768, 512
BATCH, BATCHES = 256, 39


def generate(folder: Path, number: int = IMAGES) -> list[str]:
    """A store of `number` images; returns their ids."""
    ids = [f"{i:08d}" for i in range(number)]
    images = pd.DataFrame({"image_id": ids, "sha256": ids, "split": "train"})
    for shard in plan_shards(folder, images, "generated"):
        rows = len(shard.image_ids)
        features = torch.empty(rows, TOKENS, WIDTH).uniform_(-1, 1)
        write_shard(folder, shard, features, torch.nn.functional.normalize(torch.randn(rows, PROJECTION)))
    seal(folder, images, "generated")
    return ids


def images_a_second(read: Callable[[np.ndarray], Tensor], number: int) -> float:
    """Of the fastest of three passes over the same random order."""
    order = np.random.default_rng(0).permutation(number)[: BATCH * BATCHES].reshape(BATCHES, BATCH)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        for rows in order:
            read(rows)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return order.size / min(times)


def main() -> None:
    """Print a row a way of reading."""
    with tempfile.TemporaryDirectory() as name:
        ids = generate(Path(name))
        shards = sorted(Path(name).glob("shard-*.npy"))
        plain = torch.cat([torch.from_numpy(np.load(path)) for path in shards])
        store = FeatureStore(name)

        def from_store(rows: np.ndarray) -> Tensor:
            return store.batch([ids[row] for row in rows])["vision_features"]

        ways = {
            "a plain float16 gather": lambda rows: plain[torch.from_numpy(rows)],
            "FeatureStore.batch": from_store,
        }
        if torch.cuda.is_available():
            resident = plain.cuda()
            ways["FeatureStore.batch, to the GPU"] = lambda rows: from_store(rows).cuda()
            ways["a gather on the GPU"] = lambda rows: resident[torch.from_numpy(rows).cuda()]
        rates = {way: images_a_second(read, len(ids)) for way, read in ways.items()}
        for way, rate in rates.items():
            print(f"{way:32}{rate:12,.0f} images a second{rate / rates['a plain float16 gather']:8.2f}x")


if __name__ == "__main__":
    main()
