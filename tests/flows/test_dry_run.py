"""`python -m flows.dvc_repro --dry-run`: the real command, where everything fits and where it does not."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.flows_fixtures import ROOT, run
from tests.parameters import TINY, merged

pytestmark = pytest.mark.slow

OWN = {
    "variants": ["mlp"],
    "data": {"source": "karpathy", "annotations": "dataset.json"},
    "train": {"validation_images": 4},
}


@pytest.fixture
def project(pretrained, tmp_path) -> Path:
    """Towers and 40 pictures in Karpathy's form; nothing has been run."""
    shutil.copytree(pretrained, tmp_path / "pretrained")
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    images = []
    for i in range(40):
        name, split = f"{i}.png", "train" if i < 30 else "val" if i < 35 else "test"
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(tmp_path / "raw" / name)
        sentences = [{"raw": f"a fox beside car {i}"}, {"raw": f"a car beside fox {i}"}]
        images.append({"filename": name, "imgid": i, "split": split, "sentences": sentences})
    (tmp_path / "raw/dataset.json").write_text(json.dumps({"images": images}))
    configure(tmp_path)
    return tmp_path


def configure(project: Path, **changes) -> None:
    params = merged(merged(TINY, OWN), changes)
    (project / "params.yaml").write_text(yaml.safe_dump(params))


def dry_run(project: Path) -> tuple[int, str]:
    """Exit code and all that it prints; whatever it finds, it leaves nothing behind."""
    before = sorted(project.rglob("*"))
    done = run(project, "python", "-m", "flows.dvc_repro", "--dry-run", PYTHONPATH=str(ROOT))
    after = [path for path in sorted(project.rglob("*")) if "mlruns" not in path.parts]
    assert [path for path in after if path not in before and path.name != "mlflow.db"] == []
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_where_all_is_well_every_stage_has_its_cost(project):
    code, output = dry_run(project)
    assert code == 0 and "Nothing stands in the way." in output, output
    assert "40 images (train 30, val 5, test 5), 80 captions; 40 pictures opened" in output
    for stage in ("prepare", "towers", "features", "train mlp", "evaluate mlp", "report, register", "total"):
        (row,) = [line for line in output.splitlines() if line.strip().startswith(f"{stage}  ")]
        assert "ok" in row
    assert "40 x 17 x 32 float16" in output, "the tower's own shape"
    assert "4 steps of 32" in output, "as train.epochs says"
    assert not (project / "data").exists()


def test_all_that_stands_in_the_way_is_told_at_once(project):
    """No picture in test, a damaged one, and no such tower."""
    content = json.loads((project / "raw/dataset.json").read_text())
    content["images"] = content["images"][:35]
    (project / "raw/dataset.json").write_text(json.dumps(content))
    (project / "raw/7.png").write_bytes((project / "raw/7.png").read_bytes()[:200])
    shutil.rmtree(project / "pretrained/gpt2")
    code, output = dry_run(project)
    assert code == 1, output
    assert "split-empty: 'train 30, val 5, test 0'" in output
    assert "dataset.json: images[7]: image-unreadable" in output
    assert "towers.gpt2 is 'pretrained/gpt2': no such folder, not in the hub's cache" in output


def test_a_disk_that_is_too_small(project):
    """Of a million million views each, no disk has room; what is there is the real one."""
    configure(project, features={"views": 10**12})
    code, output = dry_run(project)
    assert code == 1 and "no room" in output
    assert "are free at" in output and "features.cache: false saves" in output


def test_a_batch_that_does_not_fit(project):
    """Two million examples at a time: into how many pieces the step is to be cut."""
    configure(project, train={"batch_size": 2**21, "validation_images": 4}, features={"cache": False})
    code, output = dry_run(project)
    assert code == 1, output
    assert "a step of 2097152 examples takes" in output
    assert "Set train.gradient_accumulation_steps to" in output
