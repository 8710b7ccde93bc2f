"""Epochs and validations that follow from the data's size where params.yaml has null."""

import pytest
import torch

from components.training.arguments import STEPS, eval_steps, num_train_epochs, training_arguments
from tests.parameters import tiny


@pytest.mark.parametrize(
    ("examples", "epochs", "every"),
    [
        (12_600, STEPS / 394, 200),  # the default data set
        (740, STEPS / 24, 200),  # somebody's own drawings
        (40, 100, 50),  # a handful: not learned by heart, and validated four times
        (1_000_000, 3, 200),
    ],
)
def test_null_makes_about_as_many_steps_of_any_data(examples, epochs, every):
    settings = tiny(train={"epochs": None, "validations": None}).train
    assert num_train_epochs(settings, examples) == pytest.approx(epochs)
    assert eval_steps(settings, examples) == every


def test_a_number_stays_what_it_is():
    settings = tiny(train={"epochs": 2, "validations": 5}).train
    assert num_train_epochs(settings, 740) == 2
    assert eval_steps(settings, 740) == 9
    assert eval_steps(settings.model_copy(update={"epochs": 0.01}), 740) == 1


def test_null_means_bfloat16_on_a_gpu_that_multiplies_it(tmp_path, monkeypatch):
    """Decided in one place, and as params.yaml says: a processor that could is no reason."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    on_gpu = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    for given, expected in ((None, on_gpu), (True, True), (False, False)):
        params = tiny(train={"bf16": given})
        assert training_arguments(tmp_path, params, num_examples=40, sharded=[], loading={}).bf16 is expected
