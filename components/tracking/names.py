"""The names of all metrics, in one place: the same in every run, or they cannot be compared.

`train/*` and `gate/*` by step, `val/*` by validation, `test/*` once. A quantity with an interval is three
metrics: NAME, NAME_low and NAME_high.
"""

import math
from collections.abc import Iterator, Mapping
from numbers import Real

TRAINER = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
    "epoch": "train/epoch",
    "tokens_per_second": "train/tokens_per_second",
    "train_loss": "train/mean_loss",
    "train_runtime": "train/seconds",
    "train_samples_per_second": "train/samples_per_second",
    "train_steps_per_second": "train/steps_per_second",
    "eval_runtime": "val/seconds",
}
"""transformers.Trainer's key -> ours. Other `eval_X` become `val/X`; keys not listed here keep `train/`."""

_DROPPED = {"total_flos", "eval_samples_per_second", "eval_steps_per_second", "num_input_tokens_seen"}


def trainer_metrics(logs: Mapping[str, object]) -> dict[str, float]:
    """What `Trainer.log` hands out, under our names; values that are not numbers are left out."""
    named = {}
    for key, value in logs.items():
        if key in _DROPPED or not isinstance(value, Real):
            continue
        if key in TRAINER:
            name = TRAINER[key]
        elif key.startswith("eval_"):
            name = f"val/{key.removeprefix('eval_')}"
        else:
            name = key if "/" in key else f"train/{key.removeprefix('train_')}"
        named[name] = float(value)
    return named


def gate_metrics(gates: Mapping[str, float]) -> dict[str, float]:
    """tanh(alpha) of each gated block: {"attention.0": 0.1} -> {"gate/attention.0": 0.1}."""
    return {f"gate/{name}": float(value) for name, value in gates.items()}


def evaluation_metrics(metrics: Mapping[str, object], split: str = "test") -> dict[str, float]:
    """Flatten the evaluation's metrics.json.

    {"systems": {"model": {"CIDEr": {"mean": 1, "low": 0, "high": 2}}, "blind": ...}} becomes test/CIDEr,
    test/CIDEr_low, test/CIDEr_high, test/blind/CIDEr, ...: the model's own stand without a system's name.
    """
    named = {}
    for path, value in _leaves(metrics):
        if path[0] == "systems":
            path = path[2:] if path[1] == "model" else path[1:]
        if path[-1] in ("mean", "value"):
            path = path[:-1]
        elif path[-1] in ("low", "high"):
            path = (*path[:-2], f"{path[-2]}_{path[-1]}")
        named["/".join((split, *path))] = value
    return named


def _leaves(
    tree: Mapping[str, object], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], float]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*path, key))
        elif isinstance(value, Real) and not math.isnan(value):
            yield (*path, key), float(value)
