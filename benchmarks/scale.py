"""What 1, 100 and 1,000 million pairs cost in hours, disk, memory and network: the tables of docs/scale.md.

    python -m benchmarks.scale                 # measures this machine, two minutes, then multiplies
    python -m benchmarks.scale --check         # the same sums against runs of 2,000 and 20,000 pictures

Measured at full size (CLIP ViT-B/32 and GPT-2 small, random weights) on JPEGs of 640 x 480 made here. Without
a GPU, what only a GPU does is taken from `H100`, and each core is taken for one of 16.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from PIL import Image

from benchmarks.prepare import make_project
from benchmarks.project import ROOT, environment
from components.config import Params, lay_over
from components.planning.costs import Cost, Rates, Size, Towers, VariantRates, costs, feature_bytes
from components.towers.stand_in import FULL_SIZE, write_stand_in
from flows.dry_run import Findings, measured

CORES = 16  # of the machine that the tables are about
CAPTION = 16  # tokens a training example, both ends included
TOKENS_A_SECOND = {"eager": 90_645, "compiled": 122_032}
"""Of the training step at full size, batch 256, bfloat16: measured on an H200, which computes as an H100."""

TOWER = 20_900.0
"""Pictures a second through ViT-B/32 in bfloat16 that are on the device already: measured on an H200."""

H100 = VariantRates(
    step=256 * CAPTION / TOKENS_A_SECOND["compiled"],
    validation=1500.0,
    beams=500.0,
    memory=8e9,
    gpu=4.8e9,
    bridge=39_026_456 * 4,
)
"""Validation and beams are guesses, and measured nowhere; so is the disk of `as_server`."""

PAIRS = (1, 100, 1000)
"""Millions."""

COCO = Size(train=113_287, val=5000, test=5000, captions=616_767, picture=165_000)
"""Karpathy's splits."""

DAY = 24.0

ROWS, DIFFERENT = 20_000, 200
"""Pictures of the data that are measured, and how many of them are no links to others."""


def full_size(**changes) -> Params:
    """params.yaml with the profiles hub and coco, and `changes`."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name in ("hub", "coco"):
        lay_over(params, yaml.safe_load((ROOT / f"profiles/{name}.yaml").read_text()))
    lay_over(params, changes)
    return Params.model_validate(params)


def photographs(folder: Path, number: int) -> None:
    """JPEGs of 640 x 480 with about the bytes of a photograph, and a caption each."""
    (folder / "raw/photos").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(min(number, DIFFERENT)):
        base = Image.fromarray(rng.integers(0, 255, (40, 53, 3), np.uint8)).resize((640, 480))
        pixels = np.asarray(base).astype(int) + rng.integers(-12, 12, (480, 640, 3))
        picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        picture.save(folder / f"raw/photos/{i}.jpg", quality=85)
    for i in range(DIFFERENT, number):
        os.link(folder / f"raw/photos/{i % DIFFERENT}.jpg", folder / f"raw/photos/{i}.jpg")
    captions = [f"a photograph of a street with the number {i} on a sign" for i in range(number)]
    table = pd.DataFrame({"image": [f"{i}.jpg" for i in range(number)], "caption": captions})
    table.to_csv(folder / "raw/captions.csv", index=False)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is the current one as long."""
    with tempfile.TemporaryDirectory() as name, chdir(name):
        yield Path(name)


def measure() -> Rates:
    """This machine's, of one variant."""
    with scratch() as folder:
        photographs(folder, ROWS)
        for tower, config in zip(("clip", "gpt2"), FULL_SIZE.values(), strict=True):
            write_stand_in(tower, config(), ROOT / "pretrained" / tower, folder / "towers" / tower)
        own = {"source": "table", "annotations": "captions.csv", "images": "photos", "objects": None}
        batch = 256 if torch.cuda.is_available() else 4
        params = full_size(
            variants=["mlp"],
            data=own | {"severity": {"leak-by-image": "report", "leak-by-caption": "report"}},
            towers={"clip": "towers/clip", "gpt2": "towers/gpt2"},
            train={"batch_size": batch, "validation_images": 16, "torch_compile": torch.cuda.is_available()},
        )
        findings = Findings()
        if not (estimate := measured(params, 1, findings)) or findings.messages:
            sys.exit("\n".join(findings.messages))
        return estimate.rates


def as_server(rates: Rates) -> Rates:
    """Those of a machine with `CORES` cores, each as fast as one here, and an H100, which waits for them."""
    factor = CORES / (os.cpu_count() or 1)
    return replace(
        rates,
        decode=rates.decode * factor,
        encode=min(TOWER, rates.decode * factor),
        write=1e9,
        variants={"mlp": H100},
    )


def report(rates: Rates) -> None:
    """All tables, in Markdown."""
    towers = Towers(disk=1_150_000_000, tokens=50, width=768)
    server = rates if torch.cuda.is_available() else as_server(rates)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores, no GPU"
    print(f"Measured on {where}:\n\n| what | a second |\n| --- | --- |")
    for what, rate in {
        "pairs read and checked": f"{rates.read:,.0f}",
        "pictures decoded and hashed": f"{rates.decode:,.0f}",
        "written to the disk": f"{rates.write / 1e6:,.0f} MB",
        "MD5": f"{rates.md5 / 1e6:,.0f} MB",
        "captions tokenised": f"{rates.tokenise:,.0f}",
        "pictures encoded": f"{rates.encode:,.1f}",
        "training steps": f"{1 / rates.variants['mlp'].step:,.2f}",
    }.items():
        print(f"| {what} | {rate} |")
    print(
        f"\nA stage starts in {rates.start:.0f} s, `prepare` in {rates.start_prepare:.0f} s; a process holds "
        f"{rates.memory / 1e9:.1f} GB before it works."
    )
    print(f"\nIn `prepare`, {rates.pair / 1e3:,.1f} kB of memory an image with its caption.\n\nCOCO:\n")
    both = replace(server, variants={name: server.variants["mlp"] for name in ("mlp", "transformer")})
    table(costs(COCO, towers, both, full_size()))
    for millions in PAIRS:
        at_size(millions, towers, server)


def at_size(millions: int, towers: Towers, rates: Rates) -> None:
    """One table: `millions` of pairs, a picture and a caption each."""
    images = millions * 1_000_000
    size = Size(images - 10_000, 5000, 5000, images, COCO.picture)
    kept = millions < max(PAIRS)
    params = full_size(features={"cache": kept}, train={"epochs": 3 if millions == 1 else 1})
    print(f"\n{millions:,} million pairs, features {'kept' if kept else 'encoded on the fly'}:\n")
    rows = costs(size, towers, rates, params)
    raw = images * size.picture
    epochs = params.train.epochs
    read = feature_bytes(size, towers, params) if kept else raw
    network = {"prepare": raw, "features": raw if kept else 0.0, "train mlp": epochs * read}
    table(rows, network)


def table(rows: list[Cost], network: dict[str, float] | None = None) -> None:
    """A row a stage: hours of one machine, and how many machines make it a day."""
    extra = (" network |", " --- |") if network else ("", "")
    print(f"| stage | what | hours | machines for a day | disk | memory |{extra[0]}")
    print(f"| --- | --- | --- | --- | --- | --- |{extra[1]}")
    for row in rows:
        hours = row.seconds / 3600
        sent = f" {_size(network.get(row.stage, 0))} |" if network else ""
        print(
            f"| {row.stage} | {row.what} | {hours:,.2f} | {max(1, -(-hours // DAY)):,.0f} | "
            f"{_size(row.disk)} | {_size(row.memory)} |{sent}"
        )


def _size(size: float) -> str:
    if not size:
        return ""
    return f"{size / 1e12:,.1f} TB" if size >= 1e12 else f"{size / 1e9:,.1f} GB"


def check(number: int) -> None:
    """Predict the stages of `number` small JPEGs by the embedded towers, then run them."""
    with scratch() as folder:
        make_project(folder, number)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        own = {"source": "table", "annotations": "captions.csv", "images": "photos"}
        shorter = {"epochs": 1, "init": None, "validations": 2, "validation_images": 64}
        lay_over(params, {"variants": ["mlp"], "data": own, "train": shorter})
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        estimate = measured(Params.load(), 1, Findings())
        predicted = {row.stage: row.seconds for row in estimate.rows}
        print(f"\n{number:,} pictures:\n\n| stage | predicted, s | run, s | run / predicted |")
        print("| --- | --- | --- | --- |")
        for stage, name in {
            "prepare": "prepare",
            "towers": "towers",
            "features": "features",
            "train mlp": "train@mlp",
            "evaluate mlp": "evaluate@mlp",
        }.items():
            seconds, expected = run(folder, name), predicted[stage]
            print(f"| {stage} | {expected:.0f} | {seconds:.0f} | {seconds / expected:.2f} |", flush=True)


def run(folder: Path, stage: str) -> float:
    """Seconds of `dvc repro` of one stage."""
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - start


def main() -> None:
    """Print what the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", nargs="*", type=int, metavar="PICTURES", help="default: 2000 20000")
    sizes = parser.parse_args().check
    if sizes is None:
        report(measure())
    for number in [] if sizes is None else sizes or [2000, 20_000]:
        check(number)


if __name__ == "__main__":
    main()
