"""The names of a run's metrics: the same in every run, or they cannot be compared.

MLflow draws them in sections by what stands before the last slash, in the order of the letters. Hence
`eval/*` comes first, what validation says of the captions, as transformers' Trainer calls it; then `test/*`,
by which captioners are compared, with details, intervals and baselines in sections of their own; then
`train/*`, and the gates in `train/gate/*`. Counts of the data do not change in a run: they are parameters.
"""

import math
from collections.abc import Iterator, Mapping
from numbers import Real

OF_TRAINING = ("train/", "eval/", "system/")
"""Beginnings of what is known when a training ends."""

HEADLINE = ("CIDEr", "BLEU-4", "entirely_right")
"""Whose intervals and baselines are metrics, too. Those of the others: in the artifact test/metrics.json."""

COMPARED = (*HEADLINE, "CHAIRi", "object_recall", "minimal_pairs")
"""Of the test split, in the section test/; the other scores are details."""

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as the description of a run."""

_RENAMED = {
    "train_loss": "train/mean_loss",
    "train_runtime": "train/seconds",
    "eval_runtime": "train/eval_seconds",
}
_DROPPED = {
    "total_flos",
    "train_samples_per_second",
    "train_steps_per_second",
    "eval_samples_per_second",
    "eval_steps_per_second",
    "num_input_tokens_seen",
}


def trainer_metrics(logs: Mapping[str, object]) -> dict[str, float]:
    """The numbers of `transformers.Trainer.log` under our names: loss -> train/loss, eval_X -> eval/X,
    gate/X -> train/gate/X.
    """
    named = {}
    for key, value in logs.items():
        if key in _DROPPED or not isinstance(value, Real):
            continue
        if key.startswith("eval_"):
            name = f"eval/{key.removeprefix('eval_')}"
        else:
            name = f"train/{key.removeprefix('train_')}"
        named[_RENAMED.get(key, name)] = float(value)
    return named


def logged_scores(metrics: Mapping[str, object]) -> dict[str, float]:
    """Of results/VARIANT/metrics.json what one looks for among metrics: the model's scores, the intervals and
    the baselines' scores of `HEADLINE`, and the monitors.

    test/CIDEr, test/details/BLEU-1, test/details/CIDEr_low, test/blind/CIDEr, test/monitors/unique.
    """
    named = {}
    for name, value in evaluation_metrics(metrics).items():
        split, *system, metric = name.split("/")
        of, is_bound = metric.removesuffix("_low").removesuffix("_high"), metric.endswith(("_low", "_high"))
        if system and (system == ["monitors"] or (of in HEADLINE and not is_bound)):
            named[name] = value
        elif not system and (not is_bound or of in HEADLINE):
            named[name if metric in COMPARED else f"{split}/details/{metric}"] = value
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
