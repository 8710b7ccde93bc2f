"""A log holds lines that can be read, and few of them."""

import subprocess
import sys

from components import progress
from components.training.printing import described
from tests.flows_fixtures import ROOT, environment

LIBRARY = """
import flows, sys
from tqdm.auto import tqdm
from components.progress import progress_bar

for _ in tqdm(range(100), desc="Loading weights"):
    pass
with progress_bar(100, "features") as bar:
    bar.update(100)
"""


def test_a_log_has_a_line_a_minute_of_long_work(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)  # a line each time
    with progress.progress_bar(14_000, "features") as bar:
        for _ in range(3):
            bar.update(1000)
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("features: ") and "\r" not in line for line in lines)
    assert "features: 1000 of 14000 images in 00:00, " in lines[1] and "3000 of 14000" in lines[-1]


def test_a_log_has_nothing_of_what_takes_no_minute_nor_of_libraries(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], cwd=tmp_path, env=environment(ROOT), capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout == done.stderr == ""


def test_what_the_trainer_logs_is_a_line():
    step = {
        "loss": 0.8512,
        "grad_norm": 1.0,
        "learning_rate": 1.5e-3,
        "tokens_per_second": 2600.4,
        "epoch": 1,
    }
    assert described(step) == "loss 0.851  lr 1.5e-3  2,600 tokens/s"
    validation = {"eval_loss": 0.9, "eval_CIDEr": 1.234, "eval_runtime": 2.0, "epoch": 1}
    assert described(validation) == "validation: CIDEr 1.234  loss 0.900"
    assert described({"train_runtime": 3.0, "epoch": 4}) == ""
