"""The model card: what a version is, how good, on which data, trained how. Shown in the registry."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from components.data.tables import Tables
from components.evaluation.results import Metrics, scored_how, systems, written
from components.evaluation.scoring.metrics import METRICS

if TYPE_CHECKING:
    from components.training.decoding import Trial


def model_card(
    tags: Mapping[str, str],
    *,
    params: Mapping[str, Any],
    metrics: Metrics,
    decoding: "Trial",
    tables: Tables,
    samples: Sequence[tuple[str, str, str]],
) -> str:
    """Markdown.

    Args:
        tags: of the version: variant, data, test_data, git_commit.
        params: all of params.yaml as plain values.
        metrics: the content of the evaluation's metrics.json.
        decoding: what was chosen on validation, as the checkpoint was; the model decodes so by itself.
        tables: the whole data set.
        samples: picture (Markdown), caption and a reference of a few test pictures, picked before looking.
    """
    failed = [f"**{metrics['degenerate']}** Not to be used."] if "degenerate" in metrics else []
    decoded = ", ".join(f"{key} {value:g}" for key, value in decoding.setting.items())
    counts = ", ".join(f"{n:,} {split}" for split, n in tables.images["split"].value_counts().items())
    yaml_ = yaml.safe_dump(dict(params), sort_keys=False, default_flow_style=None, width=100)
    return "\n\n".join(
        [
            f"# {params['register']['name']}: {tags['variant']}",
            *failed,
            "A frozen CLIP vision tower and a frozen GPT-2, joined by a learned bridge. Captions pictures.",
            f"## Test scores\n{_table(metrics)}\n\n95 % bootstrap intervals over the test pictures. "
            f"{scored_how(metrics)} Chosen on validation: CIDEr {decoding.cider:.3f}; captions are decoded "
            f"with {decoded}.",
            f"## Samples\n{_rows(('picture', 'caption', 'reference'), *samples)}",
            f"## Data\n{params['data']['source']} (`{tags['data']}`): pictures: {counts}. "
            f"Test split: `{tags['test_data']}`.",
            f"Licence of the data: {tables.licence or 'none was given'}",
            "## Limits\nIt describes what its training data shows, in their words. On other pictures it "
            "still answers, and is then wrong without saying so. Not for decisions about people.",
            f"## Training\nCode: commit {tags['git_commit'] or '(none)'}. Parameters:\n\n```yaml\n{yaml_}```",
        ]
    )


def _table(metrics: Metrics) -> str:
    """Metrics down, without those of parts (entirely_right_counts), systems across: so it fits a page."""
    columns = systems({"**this model**": metrics})
    names = [name for name in columns[0].scores if name.rpartition("_")[0] not in columns[0].scores]
    rows = [[METRICS[n].label, *(written(n, each.scores.get(n)) for each in columns)] for n in names]
    return _rows(("", *(column.name for column in columns)), *rows)


def _rows(heading: Sequence[str], *rows: Sequence[str]) -> str:
    lines = [" | ".join(cells) for cells in (heading, ["---"] * len(heading), *rows)]
    return "\n".join(f"| {line} |" for line in lines)
