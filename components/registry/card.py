"""The model card: what a version is, how good, on which data, trained how. Shown in the registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

SYSTEMS = {"model": "**this model**"}  # the baselines' names in metrics.json speak for themselves


@dataclass(frozen=True)
class Sample:
    """A test picture's caption beside one that a person (or the grammar) gave it."""

    image_id: str
    caption: str
    reference: str


@dataclass(frozen=True)
class DataFacts:
    """What the card says of the data.

    `digest` and `test_digest` are those of `provenance.tables_digest`; `counts` are pictures by split.
    """

    name: str
    digest: str
    test_digest: str
    counts: Mapping[str, int]
    licence: str


def model_card(
    variant: str,
    *,
    name: str,
    params: Mapping[str, object],
    metrics: Mapping[str, object],
    validation: Mapping[str, float],
    decoding: Mapping[str, float],
    data: DataFacts,
    samples: Sequence[Sample],
    commit: str = "",
) -> str:
    """Markdown.

    Args:
        metrics: reports/VARIANT/metrics.json: system -> metric -> {"mean", "low", "high"}.
        validation: scores by which checkpoint and champion were chosen, such as {"CIDEr": 1.2}.
        decoding: keyword arguments of `generate` that were chosen, too; the model uses them by itself.
        samples: a few, picked before looking.
        commit: of the code.
    """
    chosen = ", ".join(f"{key} {value:.3f}" for key, value in validation.items())
    failed = [f"**{metrics['degenerate']}** Not to be used."] if "degenerate" in metrics else []
    written = ", ".join(f"{key} {value:g}" for key, value in decoding.items())
    return "\n\n".join(
        [
            f"# {name}: {variant}",
            *failed,
            "A frozen CLIP vision tower and a frozen GPT-2, joined by a learned bridge. Captions pictures.",
            f"## Test scores\n{_table(metrics)}\n\n95 % bootstrap intervals over the test pictures. "
            f"Chosen on validation: {chosen}; captions are decoded with {written}.",
            f"## Samples\n{_samples(samples)}",
            f"## Data\n{_data(data)}",
            "## Limits\nIt describes what its training data shows, in their words. On other pictures it "
            "still answers, and is then wrong without saying so. Not for decisions about people.",
            f"## Training\nCode: commit {commit or '(none)'}. Parameters:\n\n```yaml\n{_yaml(params)}```",
        ]
    )


def _table(metrics: Mapping[str, Any]) -> str:
    """Systems down, metrics across without those of parts (entirely_right_counts), cells
    `0.712 (0.690-0.734)`.
    """
    columns = [
        key for key, value in metrics["model"].items() if isinstance(value, Mapping) and "mean" in value
    ]
    columns = [name for name in columns if name.rpartition("_")[0] not in columns]
    systems = [key for key, value in metrics.items() if isinstance(value, Mapping) and columns[0] in value]
    lines = [f"| | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
    for system in systems:
        cells = [_cell(metrics[system].get(column)) for column in columns]
        lines.append(f"| {SYSTEMS.get(system, system.replace('_', ' '))} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: object) -> str:
    if not isinstance(value, Mapping):
        return ""
    interval = f" ({value['low']:.3f}-{value['high']:.3f})" if "low" in value else ""
    return f"{value['mean']:.3f}{interval}"


def _samples(samples: Sequence[Sample]) -> str:
    lines = ["| picture | caption | reference |", "| --- | --- | --- |"]
    lines += [f"| {sample.image_id} | {sample.caption} | {sample.reference} |" for sample in samples]
    return "\n".join(lines)


def _data(data: DataFacts) -> str:
    counts = ", ".join(f"{count:,} {split}" for split, count in data.counts.items())
    return (
        f"{data.name} (`{data.digest}`): pictures: {counts}. Test split: `{data.test_digest}`.\n\n"
        f"Licence of the data: {data.licence}"
    )


def _yaml(params: Mapping[str, object]) -> str:
    return yaml.safe_dump(dict(params), sort_keys=False, default_flow_style=None, width=100)
