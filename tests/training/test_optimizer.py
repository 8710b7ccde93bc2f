"""Who learns how fast, and that two optimizers in one go on exactly where they were saved."""

import copy

import pytest
import torch
from torch import nn

from components.training.muon import Muon
from components.training.optimizer import Together, make_optimizer
from tests.parameters import tiny

RATES = {"learning_rate": 1e-2, "gate_learning_rate": 1e-1, "weight_decay": 0.1, "betas": (0.9, 0.98)}


class Bridge(nn.Module):
    """A matrix, a bias, a gate, and a frozen tower."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, 4)
        self.attention_gate = nn.Parameter(torch.zeros(1))
        self.tower = nn.Linear(4, 4).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.tower(self.linear(x)).square().mean() + (self.attention_gate - 1).square().sum()


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    for _ in range(number):
        model(torch.randn(8, 6, generator=generator)).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_each_learned_parameter_is_in_one_group_with_its_rate_and_decay(optim):
    model = Bridge()
    groups = make_optimizer(model, optim, **RATES).param_groups
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found == {
        id(model.linear.weight): (1e-2, 0.1),
        id(model.linear.bias): (1e-2, 0.0),
        id(model.attention_gate): (1e-1, 0.0),
    }
    assert sum(len(group["params"]) for group in groups) == 3


@pytest.mark.parametrize("optim", ["adamw", "muon"])
def test_saved_and_loaded_it_goes_on_to_the_last_bit(optim):
    model = Bridge()
    optimizer = make_optimizer(model, optim, **RATES)
    steps(model, optimizer, 3)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    steps(model, optimizer, 4)
    again = Bridge()
    again.load_state_dict(weights)
    other = make_optimizer(again, optim, **RATES)
    other.load_state_dict(state)
    steps(again, other, 4)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(model.linear.weight, weights["linear.weight"])


def test_a_schedule_reaches_all_parts_after_loading_too():
    """`lr_scheduler` writes into `param_groups`: these must be the groups that the parts step by."""
    optimizer = make_optimizer(Bridge(), "muon", **RATES)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for group in optimizer.param_groups:
        group["lr"] = 0.5
    assert isinstance(optimizer, Together)
    assert {group["lr"] for part in optimizer.parts for group in part.param_groups} == {0.5}


def test_muon_is_refused_where_parameters_are_shared_out():
    with pytest.raises(ValueError, match="optim is muon, which needs whole matrices"):
        tiny(train={"optim": "muon", "fsdp": True})


@pytest.mark.parametrize("shape", [(8, 8), (12, 4), (4, 12)])
def test_muon_is_that_of_torch_but_for_bfloat16(shape):
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(shape)) for _ in range(2))
    pair = [
        Muon([ours], lr=1e-2, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=1e-2, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(10):
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        for optimizer in pair:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, atol=2e-3, rtol=0)
    assert not torch.allclose(ours, torch.ones(shape), atol=1e-2)
