"""The whole pipeline at full size on some dozens of pictures: CLIP ViT-B/32 and GPT-2 small with random
weights, the bridge of profiles/hub.yaml, `dvc repro` from prepare to register in a scratch copy. Prints time
and peak memory of every stage; fails if a stage leaves what it should not.

    python -m benchmarks.full_size             # some minutes on 2 cores, 4 GB of memory and 8 GB of disk

A training is killed in the middle, goes on, and is compared with one that was not.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import yaml

from benchmarks.prepare import make_project
from benchmarks.project import ROOT, environment
from components.config import lay_over
from components.towers.stand_in import FULL_SIZE, write_stand_in

SMALL = {
    "variants": ["mlp", "transformer"],
    "data": {"source": "auto", "annotations": None, "images": None, "val_share": 0.2, "test_share": 0.2},
    "towers": {"clip": "towers/clip", "gpt2": "towers/gpt2"},
    "features": {"batch_size": 16},
    "train": {"epochs": 4, "batch_size": 4, "validations": 4, "validation_images": 2},
    "evaluate": {"bootstrap_samples": 100},
}
"""Over params.yaml and profiles/hub.yaml."""

FIXED = {"train": {"decoding": {"num_beams": 2, "length_penalty": 1.0, "max_new_tokens": 8}}}
STAGES = ("prepare", "towers", "features", "train@mlp", "train@transformer", "evaluate@mlp")
STAGES += ("evaluate@transformer", "report", "register")


def project(folder: Path, pictures: int) -> None:
    """A scratch copy with `pictures` JPEGs, and the towers beside it."""
    make_project(folder, pictures)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for changes in (yaml.safe_load((ROOT / "profiles/hub.yaml").read_text()), SMALL, FIXED):
        lay_over(params, changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    for tower, config in zip(("clip", "gpt2"), FULL_SIZE.values(), strict=True):
        write_stand_in(tower, config(), ROOT / "pretrained" / tower, folder / "towers" / tower)


def start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    """A command in the scratch copy, in a session of its own; what it prints goes to log.txt."""
    log = (folder / "log.txt").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment(folder),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def measured(folder: Path, stage: str, *options: str) -> None:
    """Run one stage; print its seconds, and the most memory that its processes held at once."""
    begun, peak, done = time.perf_counter(), [0], threading.Event()
    process = start(folder, "dvc", "repro", *options, "--single-item", stage)
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    print(f"{stage:22}{time.perf_counter() - begun:8.0f} s{peak[0] / 1e9:8.2f} GB", flush=True)
    if code:
        sys.exit((folder / "log.txt").read_text()[-4000:])


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.2):
        try:
            process = psutil.Process(pid)
            held = [p.memory_info().rss for p in (process, *process.children(recursive=True))]
        except psutil.NoSuchProcess:
            continue
        peak[0] = max(peak[0], sum(held))


def check(folder: Path, pictures: int) -> None:
    """What the stages left."""
    images = pd.read_parquet(folder / "data/prepared/images.parquet")
    assert len(images) == pictures and set(images["split"]) == {"train", "val", "test"}
    rows = [np.load(path, mmap_mode="r") for path in (folder / "data/features").glob("shard-*.npy")]
    assert sum(map(len, rows)) == pictures and rows[0].shape[1:] == (50, 768) and rows[0].dtype == np.float16
    for variant in SMALL["variants"]:
        history = json.loads((folder / "models" / variant / "history.json").read_text())
        losses = [record["loss"] for record in history if "loss" in record]
        assert losses and losses[-1] < losses[0], f"{variant} does not learn: {losses}"
        metrics = json.loads((folder / "results" / variant / "metrics.json").read_text())
        assert {"model", "blind", "nearest_neighbour"} <= set(metrics["systems"])
    registry = json.loads((folder / "reports/registry.json").read_text())
    print("registry:", json.dumps(registry)[:300])
    assert (folder / "reports/index.html").stat().st_size > 10_000


def interrupt(folder: Path) -> None:
    """Begin a training, and kill it without warning once it has left a checkpoint."""
    process = start(folder, "dvc", "repro", "--single-item", "train@mlp")
    while not (found := [*(folder / "checkpoints/mlp").glob("checkpoint-*")]):
        assert process.poll() is None, (folder / "log.txt").read_text()[-4000:]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    print(f"train@mlp: killed after {found[0].name}; the same command goes on:", flush=True)


def compare_with_whole(folder: Path) -> None:
    """A training that nobody kills ends with the weights of the one that was killed and went on."""
    weights = (folder / "models/mlp/model.safetensors").read_bytes()
    measured(folder, "train@mlp", "--force")
    assert (folder / "models/mlp/model.safetensors").read_bytes() == weights, "not the same weights"
    print("The training that was killed and went on has the weights of a whole one, byte for byte.")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=40)
    pictures = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, pictures)
        for stage in STAGES:
            if stage == "train@mlp":
                interrupt(folder)
            measured(folder, stage)
        check(folder, pictures)
        compare_with_whole(folder)


if __name__ == "__main__":
    main()
