"""Muon: momentum, made orthogonal (Jordan et al. 2024, "Muon: An optimizer for hidden layers").

`torch.optim.Muon` does the same in bfloat16, which a processor that does not multiply it emulates: there, one
update of a small bridge takes 17 times as long as in float32. Matrices of a shape go through it together.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic, steepest at zero
ITERATIONS = 5


class Muon(Optimizer):
    """Nesterov momentum, orthogonalised; weight decay as AdamW's.

    Updates are scaled to the size of AdamW's, so that its learning rates hold (Liu et al. 2025, "Muon is
    scalable for LLM training", section 2.2).
    """

    def __init__(self, params: Iterable, lr: float, weight_decay: float = 0.0, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                updates = orthogonal(torch.stack([self._moving(p, group["momentum"]) for p in parameters]))
                rate = group["lr"] * 0.2 * max(shape) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _moving(self, parameter: Tensor, momentum: float) -> Tensor:
        """The gradient with momentum, one step ahead."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        average = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """[n x r x c] -> about the nearest matrices of orthogonal rows or columns, by Newton-Schulz; singular
    values come out between 0.7 and 1.2, which is near enough."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
