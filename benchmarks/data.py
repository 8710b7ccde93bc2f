"""How long validating tables as large as COCO's takes: 120,000 images, 600,000 captions, files not decoded.

python -m benchmarks.data
"""

import argparse
import hashlib
import random
import time
from pathlib import Path

import pandas as pd

from components.data.prepare.validate import count, validate
from components.data.tables import Tables

WORDS = [
    "a",
    "the",
    "two",
    "dog",
    "cat",
    "man",
    "woman",
    "red",
    "blue",
    "on",
    "under",
    "near",
    "street",
    "table",
    "holding",
    "standing",
    "large",
    "small",
]
REFERENCES = 5


def generate(number: int) -> Tables:
    """Tables as `prepare` has them before the checks, without a fault but those made by chance."""
    rng = random.Random(0)
    ids = [f"{i:08d}" for i in range(number)]
    images = pd.DataFrame(
        {
            "image_id": ids,
            "file_name": [f"{i}.jpg" for i in ids],
            "split": ["train" if i % 10 else ("val" if i % 20 else "test") for i in range(number)],
            "row": [f"captions.json: images[{i}]" for i in range(number)],
            "width": 640,
            "height": 480,
            "num_frames": 1,
            "sha256": [hashlib.sha256(i.encode()).hexdigest() for i in ids],
        }
    ).assign(
        problem=pd.Series(pd.NA, range(number), dtype="str"),
        detail=pd.Series(pd.NA, range(number), dtype="str"),
    )
    images = images.astype({"width": "Int64", "height": "Int64", "num_frames": "Int64"})
    total = number * REFERENCES
    captions = pd.DataFrame(
        {
            "caption_id": range(total),
            "image_id": [i for i in ids for _ in range(REFERENCES)],
            "caption": [f"{' '.join(rng.choices(WORDS, k=9))} {i}" for i in range(total)],
            "row": [f"captions.json: annotations[{i}]" for i in range(total)],
        }
    ).assign(
        problem=pd.Series(pd.NA, range(total), dtype="str"),
        detail=pd.Series(pd.NA, range(total), dtype="str"),
    )
    return Tables(images, captions, Path())


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=120_000)
    tables = generate(parser.parse_args().images)
    start = time.perf_counter()
    faults = validate(tables)
    seconds = time.perf_counter() - start
    size = f"{len(tables.images):,} images, {len(tables.captions):,} captions"
    print(f"{size}: {seconds:.1f} s; faults: {count(faults)}")


if __name__ == "__main__":
    main()
