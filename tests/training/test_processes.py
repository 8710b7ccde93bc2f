"""Training in two processes on the CPU: what one process would have learned, one message for a mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import TrainerCallback

from components.data.tables import read_tables
from components.errors import UserError
from components.features.store import FeatureStore
from components.program import main
from components.training.processes import is_first, launch, work, world_size
from components.training.train import train_variant
from tests.parameters import TINY, tiny

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHORT = {"epochs": 2, "validations": 2, "validation_images": 17}
"""Two epochs of 12 steps; 17 pictures are no multiple of two processes, nor are the 338 of an epoch of 32."""


class Mistake(TrainerCallback):
    """A user's mistake that one process meets after a number of steps."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise UserError("shard-00001.npy: unreadable.")


class FirstStep(TrainerCallback):
    """Write down where a training begins."""

    def __init__(self, path: Path):
        self.path = path

    def on_train_begin(self, args, state, control, **kwargs):
        self.path.write_text(str(state.global_step))


def fit(train: dict, data: str, towers: str, store: str, out: str, mistake: int | None = None) -> None:
    """What each process does; only the second makes the mistake."""
    readers = 0 if world_size() == 1 else 1  # who reads changes nothing, either
    out, params = Path(out), tiny(train=SHORT | train, features={"readers": readers})
    callbacks = [FirstStep(out.parent.parent / "begin")] if is_first() else []
    if mistake and not is_first():
        callbacks.append(Mistake(mistake))
    checkpoints = out.parent.parent / "checkpoints"
    train_variant(params, "mlp", read_tables(data), FeatureStore(store), towers, out, checkpoints, callbacks)


def fit_in_two(*arguments) -> None:
    """`fit` in two processes, of which this file is the program."""
    launch(2, "-m", __name__, json.dumps(arguments, default=str))


@pytest.fixture(scope="module")
def inputs(tables, towers, store) -> tuple[Path, Path, Path]:
    """Folders, for they are the same in every process."""
    return tables.folder, towers, store.folder


@pytest.fixture(scope="module")
def alone(inputs, tmp_path_factory) -> Path:
    """Trained in one process."""
    out = tmp_path_factory.mktemp("alone") / "models" / "mlp"
    fit({}, *inputs, out)
    return out


@pytest.fixture(scope="module")
def together(inputs, tmp_path_factory) -> Path:
    """Trained in two processes, each step in two pieces."""
    out = tmp_path_factory.mktemp("together") / "models" / "mlp"
    fit_in_two({"gradient_accumulation_steps": 2}, *inputs, out)
    return out


def test_two_processes_learn_what_one_learns(alone, together):
    assert_same_training(alone, together)


def test_parameters_that_are_shared_out_learn_the_same(inputs, tmp_path):
    """By AdamW: Muon needs whole matrices."""
    whole, shared = (tmp_path / name / "models" / "mlp" for name in ("whole", "shared"))
    fit({"optim": "adamw"}, *inputs, whole)
    fit_in_two({"optim": "adamw", "fsdp": True}, *inputs, shared)
    assert_same_training(whole, shared)


def test_a_mistake_in_one_process_is_raised_and_the_training_goes_on_from_its_checkpoint(
    together, inputs, tmp_path
):
    out, pieces = tmp_path / "models" / "mlp", {"gradient_accumulation_steps": 2}
    with pytest.raises(UserError, match="^shard-00001.npy: unreadable.$"):
        fit_in_two(pieces, *inputs, out, 15)
    assert not out.exists() and (tmp_path / "begin").read_text() == "0"
    fit_in_two(pieces, *inputs, out)
    assert (tmp_path / "begin").read_text() == "12", "it began anew"
    first, second = weights(together), weights(out)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_interrupt_ends_all_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WAITING)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, script], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(children := [int(path.stem) for path in tmp_path.glob("*.pid")]) < 2:
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.1)
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=300)
    assert parent.returncode == -signal.SIGINT, errors
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


WAITING = """
import os, time
from pathlib import Path
from components.training.processes import launch, launched, work

def wait():
    Path(__file__).with_name(f"{os.getpid()}.pid").touch()
    time.sleep(600)

if launched():
    work(wait)
else:
    launch(2, __file__)
"""


def test_torchrun_by_hand_tells_a_mistake_once(tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(TINY | {"maper": "mlp"}))
    command = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "flows.train", "mlp"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 and done.stderr.count("unknown key 'maper'") == 1, done.stderr


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_training(a: Path, b: Path) -> None:
    """The same losses, validation, and weights, to rounding; a checkpoint of the bridge alone."""
    first, second = (json.loads((folder / "history.json").read_text()) for folder in (a, b))
    for name in ("loss", "grad_norm", "val/loss", "val/CIDEr"):
        expected = [record[name] for record in first if name in record]
        assert len(expected) == 2
        assert [record[name] for record in second if name in record] == pytest.approx(expected, abs=1e-5)
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-4


if __name__ == "__main__":
    main(work, fit, *json.loads(sys.argv[1]))
