"""Which parameters of the bridge learn how fast: `train.optim`.

adamw  AdamW for all (Loshchilov & Hutter 2019)
muon   Muon for the matrices, AdamW for the rest (Jordan et al. 2024), at AdamW's learning rates (Liu et al.
       2025)
"""

from typing import Any, Literal

import torch
from torch import nn
from torch.optim import AdamW, Optimizer

from components.training.muon import Muon

Optim = Literal["adamw", "muon"]


def make_optimizer(
    model: nn.Module,
    optim: Optim,
    *,
    learning_rate: float,
    gate_learning_rate: float,
    weight_decay: float,
    betas: tuple[float, float],
) -> Optimizer:
    """Of the bridge alone: matrices with weight decay; biases, norms and learned tokens without; gates at
    their own rate."""
    groups: dict[str, list[nn.Parameter]] = {"decay": [], "plain": [], "gates": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups[_group(name, parameter)].append(parameter)
    decay = {"params": groups["decay"], "weight_decay": weight_decay}
    rest = [
        {"params": groups["plain"], "weight_decay": 0.0},
        {"params": groups["gates"], "weight_decay": 0.0, "lr": gate_learning_rate},
    ]
    if optim == "adamw":
        return AdamW([decay, *rest], lr=learning_rate, betas=betas, fused=True)
    matrices = Muon([decay], lr=learning_rate)
    return Together(matrices, AdamW(rest, lr=learning_rate, betas=betas, fused=True))


class Together(Optimizer):
    """Several optimizers as one: what steps, is saved and gets a schedule as one."""

    def __init__(self, *parts: Optimizer):
        super().__init__([parameter for part in parts for parameter in _parameters(part)], {})
        self.parts = parts
        self.param_groups = [group for part in parts for group in part.param_groups]  # the parts' own

    def step(self, closure: None = None) -> None:
        """Of each."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Of each."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of each; a part makes its groups anew when it loads."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _group(name: str, parameter: torch.Tensor) -> str:
    if name.endswith("gate"):
        return "gates"
    return "decay" if parameter.ndim == 2 and name.endswith("weight") else "plain"
