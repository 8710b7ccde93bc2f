"""How long does the vision tower wait for pictures? CLIP ViT-B/32 with random weights, JPEGs of 320 x 240.

    python -m benchmarks.encoding                          # 256 pictures; on a GPU: --pictures 8192
    python -m benchmarks.encoding --readers 0 8 --small    # the embedded tower, pretrained/clip

`waits` is the share of the time in which the tower has nothing to do: 1 - (its time for the same number of
batches that are there already, measured before and after) / (time of all). 0 readers open pictures in its own
thread. `--threads`: readers are threads on a GPU, too.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from components.data.tables import FRAME_COLUMNS, Tables
from components.features.encoder import ClipEncoder, takes_bf16

BATCH, DIFFERENT, SIZE = 256, 256, (320, 240)


def pictures(folder: Path, number: int) -> Tables:
    """`number` pictures, which are `DIFFERENT` files over and over."""
    rng = np.random.default_rng(0)
    names = [f"{i:05d}.jpg" for i in range(min(number, DIFFERENT))]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(folder / name, quality=90)
    ids = [str(i) for i in range(number)]
    files = [names[i % len(names)] for i in range(number)]
    images = pd.DataFrame({"image_id": ids, "sha256": files})
    places = [(i, file, 0, (folder / file).stat().st_size) for i, file in zip(ids, files, strict=True)]
    return Tables(images, pd.DataFrame(), folder, pd.DataFrame(places, columns=FRAME_COLUMNS))


def full_size(folder: Path) -> Path:
    """CLIP ViT-B/32, not trained."""
    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def tower_alone(encoder: ClipEncoder, tables: Tables, number: int, batch: int) -> float:
    """Seconds for `number` pictures that are on the device already."""
    frames = [tables.open_frames(image_id)[0] for image_id in tables.images["image_id"][:batch]]
    pixels = torch.from_numpy(encoder.fit(frames)).to(encoder.device)
    encoder(pixels)[1].cpu()
    start = time.perf_counter()
    for first in range(0, number, batch):
        _, embeds = encoder(pixels[: number - first])
    embeds.cpu()  # waits for all of them
    return time.perf_counter() - start


def main() -> None:
    """Print a row for each number of readers."""
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    parser.add_argument("--pictures", type=int, default=256)
    parser.add_argument("--readers", type=int, nargs="+", default=[0, 2, 8])
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--threads", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place, batch = Path(folder), min(asked.batch, asked.pictures)
        clip = Path("pretrained/clip") if asked.small else full_size(place / "clip")
        tables = pictures(place, asked.pictures)
        ids, bf16 = list(tables.images["image_id"]), takes_bf16(None)
        encoder = ClipEncoder(clip, bf16=bf16)
        encoder.in_processes &= not asked.threads
        print(f"{encoder.device}, {'bfloat16' if bf16 else 'float32'}, {asked.pictures:,} pictures")
        print(f"{'readers':>8}{'pictures/s':>12}{'tower alone/s':>15}{'waits, %':>10}")
        for encoder.readers in asked.readers:
            alone = tower_alone(encoder, tables, len(ids), batch)
            start = time.perf_counter()
            encoder.encode(tables, ids, batch)
            seconds = time.perf_counter() - start
            alone = (alone + tower_alone(encoder, tables, len(ids), batch)) / 2
            speeds = f"{len(ids) / seconds:12,.0f}{len(ids) / alone:15,.0f}"
            print(f"{encoder.readers:8}{speeds}{100 * (1 - alone / seconds):10.1f}", flush=True)


if __name__ == "__main__":
    main()
