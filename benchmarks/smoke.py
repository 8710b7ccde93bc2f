"""Every stage, from data to a registered captioner, in about two minutes: `make smoke`, what to run first.

python -m benchmarks.smoke               # profiles/smoke.yaml, in .smoke/, which a next run makes anew

It has its own parameters, data, runs and registry, and touches nothing else. Prints captions beside
references to look at, and fails if what comes out cannot be right.
"""

import json
import shutil
import subprocess
import sys

import pandas as pd

from benchmarks.project import ROOT, environment, make_copy
from components.data.tables import read_tables
from components.program import command_line
from flows.use_profile import profile

FOLDER = ROOT / ".smoke"
LEAST = 0.25  # of the captions, entirely right: 51 % of 51 pictures here, and a bridge that failed has none
SHOWN = 5


def project() -> None:
    """A folder with this code, and everything that it makes its own."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    make_copy(FOLDER)
    shutil.copy(ROOT / "params.yaml", FOLDER)
    profile("smoke", params=FOLDER / "params.yaml")


def run() -> None:
    """All stages."""
    own = environment(FOLDER)
    own.pop("MLFLOW_TRACKING_URI", None)  # its runs are nobody's
    done = subprocess.run([sys.executable, "-m", "flows.dvc_repro"], cwd=FOLDER, env=own)
    if done.returncode:
        sys.exit(done.returncode)


def look() -> None:
    """Show some captions, and check what can be checked."""
    scores = json.loads((FOLDER / "results/mlp/metrics.json").read_text())
    registry = json.loads((FOLDER / "reports/registry.json").read_text())
    rows = pd.read_parquet(FOLDER / "results/mlp/per_image.parquet")
    captions = rows[rows["system"] == "model"].set_index("image_id")["caption"]
    references = read_tables(FOLDER / "data/prepared").references()
    for image_id, caption in captions.head(SHOWN).items():
        print(f"{image_id}: {caption}\n{'':{len(image_id)}}  ({references[image_id][0]})")
    model, blind = (scores["systems"][name]["CIDEr"]["mean"] for name in ("model", "blind"))
    right = scores["systems"]["model"]["entirely_right"]["mean"]
    print(f"entirely right {right:.0%}, CIDEr {model:.2f}, blind {blind:.2f}, {captions.nunique()} captions")
    assert "degenerate" not in scores, scores["degenerate"]
    assert right >= LEAST and model > 2 * blind, "the captions are not right"
    assert captions.str.len().min() > 0 and captions.nunique() > len(captions) / 2
    assert registry, "nothing is registered"


if __name__ == "__main__":
    command_line(__doc__).parse_args()
    project()
    run()
    look()
