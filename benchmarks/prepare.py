"""`dvc repro prepare` of many pictures, against decoding them alone with as many threads; and its disk.

python -m benchmarks.prepare               # 20,000 JPEGs of 320 x 240, with and without `data.copy`
python -m benchmarks.prepare --number 2000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from benchmarks.project import ROOT, environment, make_copy
from components.data.pictures import load_rgb

SLOWER = 2.0
DISK = {True: 2.05, False: 1.05}


def make_project(folder: Path, number: int) -> None:
    """A project whose raw/ holds `number` pictures and a table of captions."""
    make_copy(folder)
    (folder / "raw" / "photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(number):
        base = Image.fromarray(rng.integers(0, 240, (12, 16, 3), np.uint8)).resize((320, 240))
        pixels = np.asarray(base) + rng.integers(0, 12, (240, 320, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "raw" / "photos" / f"{index:06d}.jpg", quality=90)
    names = [f"{index:06d}.jpg" for index in range(number)]
    captions = [f"picture number {index} of many" for index in range(number)]
    pd.DataFrame({"image": names, "caption": captions}).to_csv(folder / "raw" / "captions.csv", index=False)


def prepare(folder: Path, copy: bool) -> float:
    """Seconds of `dvc repro prepare`."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"] |= {"source": "table", "annotations": "captions.csv", "images": "photos", "copy": copy}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    start = time.perf_counter()
    done = subprocess.run(
        ["dvc", "repro", "prepare"], cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.perf_counter() - start


def decode(folder: Path) -> float:
    """Seconds of decoding every picture, with as many threads as there are cores."""
    files = sorted((folder / "raw" / "photos").iterdir())
    start = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda file: load_rgb(file).size, files):
            pass
    return time.perf_counter() - start


def disk(*folders: Path) -> int:
    """Bytes on the disk; what is linked counts once."""
    done = subprocess.run(["du", "-sB1", *folders], capture_output=True, text=True, check=True)
    return sum(int(line.split()[0]) for line in done.stdout.splitlines())


def main() -> None:
    """Print a row a way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=20_000, help="of pictures (%(default)s)")
    number = parser.parse_args().number
    for copy in (True, False):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_project(folder, number)
            alone, seconds = decode(folder), prepare(folder, copy)
            raw, more = disk(folder / "raw"), disk(folder / "data", folder / ".dvc")
            print(
                f"copy {copy!s:5}  decoding alone {alone:6.1f} s   dvc repro prepare {seconds:6.1f} s "
                f"({(seconds - 15) / alone:.2f}x plus 15 s, at most {SLOWER})   "
                f"disk {(raw + more) / raw:.3f}x of raw, at most {DISK[copy]}",
                flush=True,
            )


if __name__ == "__main__":
    main()
