"""What all pre-trainings share: the loop, schedule, optimizer, export, checkpoint, command line."""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader, IterableDataset
from transformers import PreTrainedModel

from components.training.muon import Muon
from components.training.optimizer import Together

SAVE_SECONDS = 300
WARMUP = 200  # steps
STEPS_BETWEEN_LINES = 100

Losses = tuple[Tensor, dict[str, Tensor]]
"""Of a batch: what goes down, and what is told of it."""


class Schedule:
    """Of the learning rates that `optimizer` has now: warm-up, constant, a linear fall over the last third.

    So a training can be made longer afterwards (Hu et al. 2024, "MiniCPM", section 4). It ends at `steps` or
    after `minutes`, whichever is nearer.
    """

    def __init__(self, optimizer: Optimizer, steps: int, minutes: float):
        self.optimizer, self.rates = optimizer, [group["lr"] for group in optimizer.param_groups]
        self.steps, self.seconds, self.begin = steps, 60 * minutes, time.monotonic()

    def done(self, step: int) -> float:
        """How much of the training lies behind, 0 to 1."""
        return max(step / self.steps, (time.monotonic() - self.begin) / self.seconds)

    def set(self, step: int) -> None:
        """The rates of `step`."""
        share = min(1.0, (step + 1) / WARMUP, max(0.0, 3 * (1 - self.done(step))))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = share * rate


def make_optimizer(model: nn.Module, settings: dict, outer: Sequence[str]) -> Together:
    """Muon for the matrices inside the networks, AdamW for embeddings, heads, norms and biases.

    Args:
        outer: what names of embeddings and heads contain.
    """
    inside, rest = [], []
    for name, parameter in model.named_parameters():
        (rest if parameter.ndim != 2 or any(part in name for part in outer) else inside).append(parameter)
    rate = settings["learning_rate"]
    return Together(
        Muon(inside, lr=rate, weight_decay=settings["weight_decay"]),
        AdamW(rest, lr=rate, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
    )


def device() -> str:
    """A GPU, where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def drawn(batches: IterableDataset, workers: int) -> Iterator:
    """The batches; on a GPU machine `workers` processes draw them ahead."""
    ahead = {"num_workers": workers, "prefetch_factor": 8} if device() == "cuda" else {}
    return iter(DataLoader(batches, batch_size=None, **ahead))


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    path: Path,
    steps: int,
    minutes: float,
    losses_from: Callable[[int], Iterator[Losses]],
    name: str = "",
) -> None:
    """Train until `steps` or `minutes` are over, from the checkpoint at `path` if there is one; another is
    written every five minutes and at the end.

    Args:
        losses_from: of the batches from this step on, one after the other.
        name: begins each line that is printed.
    """
    schedule = Schedule(optimizer, steps, minutes)
    checkpoint = Checkpoint(path, model, optimizer)
    first = step = checkpoint.load(device())
    batches, told = losses_from(step), time.monotonic()
    sums: dict[str, Tensor] = {}  # on the device, which is not waited for
    while schedule.done(step) < 1:
        loss, parts = next(batches)
        loss.backward()
        schedule.set(step)
        update(model, optimizer)
        step += 1
        for part, value in parts.items():
            sums[part] = sums.get(part, 0.0) + value.detach()
        if step % STEPS_BETWEEN_LINES == 0:
            count, now = min(STEPS_BETWEEN_LINES, step - first), time.monotonic()
            shown = "  ".join(f"{part} {value / count:.3f}" for part, value in sums.items())
            print(f"{name}step {step}  {shown}  {(now - told) / count:.3f} s a step", flush=True)
            sums, told = {}, now
        checkpoint.save_now_and_then(step)
    checkpoint.save(step)


def update(model: nn.Module, optimizer: Optimizer) -> None:
    """Clip the gradients, step, and clear them.

    Raises:
        SystemExit: a gradient is not finite.
    """
    if not math.isfinite(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0))):
        raise SystemExit("The gradient is not finite. Start again: it goes on from the last checkpoint.")
    optimizer.step()
    optimizer.zero_grad()


def export(model: PreTrainedModel, folder: Path, without: Sequence[str] = ()) -> None:
    """`save_pretrained` in float16; `without`: names of tensors that are others once more."""
    weights = {name: value.half() for name, value in model.state_dict().items() if name not in without}
    model.save_pretrained(folder, state_dict=weights)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}, indent=2) + "\n")


class Checkpoint:
    """Weights, optimizer and step in one file that appears whole."""

    def __init__(self, path: Path, model: nn.Module, optimizer: Optimizer):
        self.path, self.model, self.optimizer, self.saved = path, model, optimizer, time.monotonic()

    def load(self, device: str) -> int:
        """The step to go on from; 0 where there is no checkpoint."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location=device)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        print(f"goes on from step {state['step']}", flush=True)
        return state["step"]

    def save_now_and_then(self, step: int) -> None:
        """If the last one is five minutes old."""
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save(step)

    def save(self, step: int) -> None:
        """Aside, then renamed."""
        self.path.parent.mkdir(exist_ok=True)
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": step}
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)
        self.saved = time.monotonic()


def command_line(what: str, params: Path) -> tuple[dict, dict]:
    """The settings of `what` in `params`, and what else its `train` takes, from the command line."""
    parser = argparse.ArgumentParser(description=f"Pre-train {what}.")
    parser.add_argument("--minutes", type=float, default=math.inf, help="be done by then")
    parser.add_argument("--steps", type=int, help="default: params.yaml")
    parser.add_argument("--batch-size", type=int, help="default: params.yaml")
    parser.add_argument(
        "--init", action="store_true", help="without a checkpoint: begin with the weights that are there"
    )
    options = parser.parse_args()
    values = yaml.safe_load(params.read_text())
    given = {name: value for name in ("steps", "batch_size") if (value := getattr(options, name))}
    arguments = {"seed": values["seed"], "minutes": options.minutes, "init": options.init}
    return values[what] | given, arguments
