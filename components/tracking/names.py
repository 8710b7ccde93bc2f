"""The names of a run's metrics: the same in every run, or they cannot be compared.

`data/*` counts what the run is made of, `train/*`, `gate/*` and `system/*` go by step, `val/*` by validation,
`test/*` is said once. A quantity with an interval is three metrics: NAME, NAME_low and NAME_high.
"""

import math
from collections.abc import Iterator, Mapping
from numbers import Real

OF_TRAINING = ("data/", "train/", "gate/", "val/", "system/")
"""Beginnings of what is known when a training ends."""

_RENAMED = {"train_loss": "train/mean_loss", "train_runtime": "train/seconds", "eval_runtime": "val/seconds"}
_DROPPED = {"total_flos", "eval_samples_per_second", "eval_steps_per_second", "num_input_tokens_seen"}


def trainer_metrics(logs: Mapping[str, object]) -> dict[str, float]:
    """The numbers of `transformers.Trainer.log` under our names: loss -> train/loss, eval_X -> val/X; a name
    with a slash, as gate/..., stays.
    """
    named = {}
    for key, value in logs.items():
        if key in _DROPPED or not isinstance(value, Real):
            continue
        if key.startswith("eval_"):
            name = f"val/{key.removeprefix('eval_')}"
        else:
            name = key if "/" in key else f"train/{key.removeprefix('train_')}"
        named[_RENAMED.get(key, name)] = float(value)
    return named


def evaluation_metrics(metrics: Mapping[str, object], split: str = "test") -> dict[str, float]:
    """Flatten results/VARIANT/metrics.json.

    {"systems": {"model": {"CIDEr": {"mean": 1, "low": 0, "high": 2}}, "blind": ...}} becomes test/CIDEr,
    test/CIDEr_low, test/CIDEr_high, test/blind/CIDEr, ...: the model's own stand without a system's name.
    """
    named = {}
    for path, value in leaves(metrics):
        if not isinstance(value, Real) or math.isnan(value):
            continue
        if path[0] == "systems":
            path = path[2:] if path[1] == "model" else path[1:]
        if path[-1] in ("mean", "value"):
            path = path[:-1]
        elif path[-1] in ("low", "high"):
            path = (*path[:-2], f"{path[-2]}_{path[-1]}")
        named["/".join((split, *path))] = float(value)
    return named


def leaves(
    tree: Mapping[str, object], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    """{"a": {"b": 1}} -> (("a", "b"), 1)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value
