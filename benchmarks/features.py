"""Does memory stay flat when the feature store grows? Batches from stores of generated features, drawn at
random.

    python -m benchmarks.features              # 1,000, 10,000 and 100,000 images; 0.5 GB on disk for a moment

Each store is read in a process of its own: `private` is what the process holds itself, `mapped` are pages of
the shards
that the operating system keeps in memory for it and takes back when it needs them.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from components.features.store import FeatureStore, plan_shards, seal, write_shard

TOKENS, WIDTH, PROJECTION = 17, 128, 128
BATCH, BATCHES = 64, 300


def generate(folder: Path, number: int, tokens: int, width: int, projection: int) -> list[str]:
    """A store of `number` images, [tokens x width] and [projection] of each; returns their ids."""
    ids = [f"{i:08d}" for i in range(number)]
    images = pd.DataFrame({"image_id": ids, "sha256": ids, "split": "train"})
    for shard in plan_shards(folder, images, "generated"):
        rows = len(shard.image_ids)
        write_shard(folder, shard, torch.randn(rows, tokens, width), torch.randn(rows, projection))
    seal(folder, images, "generated")
    return ids


def memory() -> dict[str, float]:
    """MB of this process: private, mapped."""
    status = Path("/proc/self/status").read_text()
    return {
        name: int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024
        for name, key in (("private", "RssAnon"), ("mapped", "RssFile"))
    }


def read(folder: Path, ids: list[str]) -> dict[str, float]:
    """Draw random batches; MB more than before the store was opened, and milliseconds a batch."""
    generator = torch.Generator().manual_seed(0)
    before, store = memory(), FeatureStore(folder)
    start = time.perf_counter()
    for _ in range(BATCHES):
        rows = torch.randint(len(ids), (BATCH,), generator=generator).tolist()
        store.batch([ids[row] for row in rows])
    seconds, after = time.perf_counter() - start, memory()
    return {name: after[name] - before[name] for name in after} | {"ms": 1000 * seconds / BATCHES}


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    context = multiprocessing.get_context("spawn")
    print(f"{'images':>10}{'on disk MB':>12}{'private MB':>12}{'mapped MB':>11}{'ms a batch of 64':>18}")
    for number in parser.parse_args().sizes:
        with tempfile.TemporaryDirectory() as folder:
            ids = generate(Path(folder), number, TOKENS, WIDTH, PROJECTION)
            size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 2**20
            with context.Pool(1) as pool:
                found = pool.apply(read, (Path(folder), ids))
        print(f"{number:10,}{size:12.0f}{found['private']:12.1f}{found['mapped']:11.1f}{found['ms']:18.2f}")


if __name__ == "__main__":
    main()
