"""`python -m flows.dvc_repro`: real DVC, on a pipeline of such stages whose trainings wait for each other."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.flows_fixtures import ROOT, environment, run
from tests.parameters import TINY, merged

pytestmark = pytest.mark.slow

OTHER = {"mlp": "transformer", "transformer": "mlp"}
TRAIN = """
import os, sys, time
import signal
import subprocess
import sys
import time
from pathlib import Path

name, other = sys.argv[1:]
Path(f"here-{name}").touch()
deadline = time.monotonic() + 60
while not Path(f"here-{other}").exists():
    if time.monotonic() > deadline:
        sys.exit(f"{other} never came")
    time.sleep(0.1)
print("step 1\\rstep 2, threads", os.environ["OMP_NUM_THREADS"], flush=True)
if Path(f"fail-{name}").exists():
    sys.exit("no good")
Path(f"{name}.model").write_text(name)
"""
PIPELINE = {
    "features": {"cmd": "echo made > features.txt", "outs": ["features.txt"]},
    "train": {
        "foreach": OTHER,
        "do": {
            "cmd": "python train.py ${key} ${item}",
            "deps": ["features.txt", "train.py"],
            "outs": ["${key}.model"],
        },
    },
    "evaluate": {
        "foreach": OTHER,
        "do": {"cmd": "cp ${key}.model ${key}.score", "deps": ["${key}.model"], "outs": ["${key}.score"]},
    },
    "report": {
        "cmd": "cat mlp.score transformer.score > report.txt",
        "deps": ["mlp.score", "transformer.score"],
        "outs": ["report.txt"],
    },
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(merged(TINY, {"variants": list(OTHER)})))
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}))
    (tmp_path / "train.py").write_text(TRAIN)
    run(tmp_path, "dvc", "init", "--no-scm", "--quiet").check_returncode()
    return tmp_path


def repro(project: Path, **more: str) -> subprocess.CompletedProcess:
    """The command."""
    return run(project, "python", "-m", "flows.dvc_repro", PYTHONPATH=str(ROOT), **more)


def test_variants_are_trained_at_once_and_the_rest_follows(project):
    """Each training ends only when the other has begun."""
    done = repro(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "report.txt").read_text() == "mlptransformer"
    lines = done.stdout.splitlines()
    for name in OTHER:
        assert any(line.startswith(f"{name}: step 2, threads ") for line in lines), done.stdout
    assert "step 1" not in done.stdout, "of a progress bar only how it ended"
    again = repro(project)
    assert again.returncode == 0 and "Running stage" not in again.stdout + again.stderr


def test_a_failed_variant_fails_it_and_the_next_call_goes_on(project):
    (project / "fail-mlp").touch()
    failed = repro(project)
    assert failed.returncode != 0 and "mlp: no good" in failed.stdout
    assert (project / "transformer.score").exists() and not (project / "report.txt").exists()
    (project / "fail-mlp").unlink()
    done = repro(project)
    assert done.returncode == 0 and (project / "report.txt").exists()
    assert "Running stage 'train@transformer'" not in done.stdout, "it was done already"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_it_ends_its_stages(number, project):
    waiting = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(300)"
    stages = {"features": {"cmd": f'python -c "{waiting}"', "outs": ["features.txt"]}}
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    code = environment(project) | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "flows.dvc_repro"], cwd=project, env=code)
    deadline = time.monotonic() + 300
    while not (project / "pid").exists() or not (stage := (project / "pid").read_text()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(120) == 130
    with pytest.raises(ProcessLookupError):
        os.kill(int(stage), 0)


def test_an_mlflow_server_that_is_down_is_told_before_anything_runs(project):
    done = repro(project, MLFLOW_TRACKING_URI="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:2")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the MLflow server http://127.0.0.1:1 does not answer. Start it, or unset" in done.stderr
    assert not (project / "features.txt").exists()


def test_wrong_parameters_are_told_in_a_line(project):
    (project / "params.yaml").write_text(yaml.safe_dump(merged(TINY, {"variants": ["mpl"]})))
    done = repro(project)
    assert done.returncode == 1
    assert "\nflows.dvc_repro: params.yaml: 'variants.0' is 'mpl'" in done.stderr


def test_a_name_at_which_dvc_would_stop_without_naming_it_is_named(project):
    (project / "raw").mkdir()
    (project / "raw" / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"")
    done = repro(project)
    assert done.returncode == 1 and r"names that are not UTF-8: raw/caf\xe9.jpg" in done.stderr
    assert "Traceback" not in done.stderr and not (project / "features.txt").exists()
