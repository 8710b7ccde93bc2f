"""COCO's size in Karpathy's form: 123,287 pictures, tiny ones, with 616,435 sentences, of which many stand
in several splits, as COCO's do. Nothing may be removed under `on_invalid: fail`; seconds for reading and
checking the tables, and for the whole stage.

python -m benchmarks.data
"""

import argparse
import json
import random
import struct
import sys
import tempfile
import time
import zlib
from pathlib import Path

import yaml

from components.config import DataParams
from components.data.prepare.prepare import prepare
from components.data.prepare.splits import assign_splits
from components.data.prepare.validate import count, validate
from components.data.sources import source_of
from components.data.tables import Tables

ROOT = Path(__file__).parents[1]
PARTS = {"train": 82_783, "restval": 30_504, "val": 5_000, "test": 5_000}
REFERENCES = 5
COMMON = 20_000  # sentences that are drawn again and again
SHARE = 0.1  # of all, that are drawn from those
NOUNS = ("dog", "cat", "man", "woman", "bus", "horse", "pizza", "kite", "bench", "bird", "train", "giraffe")
PLACES = ("on a street", "near a table", "in a field", "under a tree", "on the beach", "in a kitchen")


def png(number: int) -> bytes:
    """8 x 8 pixels of one colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + number.to_bytes(3) * 8
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(row * 8, 1)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def generate(folder: Path, share: float) -> None:
    """dataset_coco.json with `share` of its images, and the pictures."""
    rng = random.Random(0)
    common = [f"A {rng.choice(NOUNS)} and {n} others {rng.choice(PLACES)}." for n in range(COMMON)]
    images: list[dict] = []
    for split, number in PARTS.items():
        of = "val2014" if split != "train" else "train2014"
        (folder / of).mkdir(exist_ok=True)
        for _ in range(int(number * share)):
            name, own = f"COCO_{of}_{len(images):012d}.png", len(images) * REFERENCES
            (folder / of / name).write_bytes(png(len(images)))
            raw = [f"A {rng.choice(NOUNS)} {rng.choice(PLACES)} {own + n}." for n in range(REFERENCES)]
            if rng.random() < SHARE * REFERENCES:
                raw[0] = rng.choice(common)
            sentences = [{"raw": text, "imgid": len(images)} for text in raw]
            images.append(
                {"cocoid": own, "filepath": of, "filename": name, "split": split, "sentences": sentences}
            )
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))


def main() -> None:
    """Print the seconds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of COCO's images (%(default)s)")
    share = parser.parse_args().share
    values = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, share)
        data = DataParams.model_validate(values | {"source": "auto", "folder": name, "copy": False})
        start = time.perf_counter()
        raw = source_of(data).read(folder)
        read = time.perf_counter() - start
        images = raw.images.rename(columns={"file": "file_name"}).assign(sha256=raw.images["image_id"])
        images["split"] = assign_splits(images, data)
        start = time.perf_counter()
        faults = validate(Tables(images, raw.captions.assign(caption_id=range(len(raw.captions))), folder))
        checked = time.perf_counter() - start
        start = time.perf_counter()
        tables = prepare(data, folder / "out", folder / "report")
        whole = time.perf_counter() - start
    lost = len(raw.images) - len(tables.images) + len(raw.captions) - len(tables.captions)
    print(f"{len(raw.images):,} pictures, {len(raw.captions):,} sentences: reading the tables {read:.1f} s, "
          f"checking them {checked:.1f} s, the whole stage in one thread {whole:.1f} s; removed: {lost}, at "
          f"most 0; reported: {count(faults)}")  # fmt: skip
    sys.exit(lost > 0)


if __name__ == "__main__":
    main()
