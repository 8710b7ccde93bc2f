"""A million pairs in tar shards: `prepare` by threads and by one and two Ray workers, and how long training
takes to its first step; seconds, and memory of all processes together.

python -m benchmarks.million                       # 100 shards of 10,000; 1 GB on disk, and as much again
python -m benchmarks.million --shards 10
python -m benchmarks.million --only threads first-step
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image

from benchmarks.project import ROOT, environment, make_copy
from components.data.tables import read_tables

PAIRS = 10_000  # in a shard
SIDE = 48  # pixels
WORDS = ("a", "the", "two", "dog", "cat", "man", "red", "blue", "on", "under", "street", "holding", "large")
GIB = 2**30
RUNNERS = {
    "threads": {"name": "threads", "workers": 2},
    "ray-1": {"name": "ray", "workers": 1},
    "ray-2": {"name": "ray", "workers": 2},
}
FIRST_STEP = "first-step"
MEMORY = {name: 4 for name in RUNNERS} | {FIRST_STEP: 3}  # GiB at most
SECONDS, FASTER = 60, 1.6


def write_shard(path: Path) -> None:
    """Pictures of random colours, and captions, no two alike."""
    rng, first = np.random.default_rng(int(path.stem)), int(path.stem) * PAIRS
    pixels, words = rng.integers(0, 255, (PAIRS, 6, 6, 3), np.uint8), rng.choice(WORDS, (PAIRS, 8))
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for number in range(PAIRS):
            picture, caption = io.BytesIO(), f"{' '.join(words[number])} {first + number}"
            Image.fromarray(pixels[number]).resize((SIDE, SIDE)).save(picture, "JPEG")
            for ending, data in ((".jpg", picture.getvalue()), (".txt", caption.encode())):
                member = tarfile.TarInfo(f"{first + number:09d}{ending}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def make_project(folder: Path, shards: int) -> None:
    """A project whose raw/ holds the shards."""
    make_copy(folder, dvc=False)
    with ProcessPoolExecutor() as pool:
        list(pool.map(write_shard, [folder / "raw" / f"{number:05d}.tar" for number in range(shards)]))


def run(folder: Path, *command: str, **changes: dict) -> tuple[float, float]:
    """Seconds of a command, and the memory in GiB of it and all processes that it starts."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "auto", "copy": False}
    for section, values in changes.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    own = environment(folder) | {"PREFECT_HOME": str(folder / ".prefect")}
    own |= {"RAY_worker_niceness": "0"}  # other programs here are no politer
    with (folder / "log").open("w+") as log:
        start, peak = time.perf_counter(), 0
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=own,
            stdout=log,
            stderr=log,
        )
        while process.poll() is None:
            peak = max(peak, _memory(psutil.Process(process.pid)))
            time.sleep(0.2)
        seconds = time.perf_counter() - start
        if process.returncode:
            log.seek(0)
            sys.exit(log.read()[-4000:])
    return seconds, peak / GIB


def _memory(process: psutil.Process) -> int:
    """Bytes; what several processes share counts once (Linux)."""
    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_full_info().pss
        except psutil.Error:
            continue
    return total


def first_step() -> None:
    """The stage `train`, until its first step is done."""
    from components.tracking.callback import MlflowCallback
    from flows.train import train_here

    MlflowCallback.on_step_end = lambda *args, **kwargs: os._exit(0)
    train_here("mlp")


def main() -> None:
    """Print a row a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=100, help=f"of {PAIRS:,} pairs (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=[*RUNNERS, FIRST_STEP], default=[*RUNNERS, FIRST_STEP])
    options = parser.parse_args()
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, options.shards)
        for way in options.only:
            if way in RUNNERS:
                seconds[way], peak = run(folder, "flows.prepare", task_runner=RUNNERS[way])
                assert len(read_tables(folder / "data" / "prepared").images) == options.shards * PAIRS
            else:
                run(folder, "flows.towers")
                code = "import benchmarks.million as m; m.first_step()"
                (folder / "first_step.py").write_text(code)
                seconds[way], peak = run(folder, "first_step", features={"cache": False})
            bar = f", at most {SECONDS}" if way == FIRST_STEP else ""
            print(f"{way:12}{seconds[way]:8.1f} s{bar}   {peak:.2f} GiB, at most {MEMORY[way]}", flush=True)
    if {"ray-1", "ray-2"} <= set(seconds):
        print(f"two Ray workers: {seconds['ray-1'] / seconds['ray-2']:.2f} times as fast, {FASTER} at least")


if __name__ == "__main__":
    main()
