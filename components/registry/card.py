"""The model card: what a version is, how good, on which data, trained how. Shown in the registry."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import yaml

from components.data.tables import Tables
from components.evaluation.results import Metrics, scored_how, systems, written
from components.evaluation.scoring.metrics import METRICS
from components.registry.front_matter import front_matter, without_parts

if TYPE_CHECKING:
    from components.training.decoding import Trial

LICENCES = "licences"
"""The tag of a version that holds them, too."""

USE = """## Use
Exported (`python -m flows.export`) it needs PyTorch, Pillow and transformers, {transformers} or later:

```python
caption = transformers.pipeline("image-text-to-text", model="FOLDER", trust_remote_code=True)
caption("picture.png")
```"""


def model_card(
    tags: Mapping[str, str],
    *,
    params: Mapping[str, Any],
    metrics: Metrics,
    decoding: "Trial",
    tables: Tables,
    samples: Sequence[tuple[str, str, str]],
) -> str:
    """Markdown, with the front matter of the Hugging Face hub.

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
    body = "\n\n".join(
        [
            f"# {params['register']['name']}: {tags['variant']}",
            *failed,
            "A frozen CLIP vision tower and a frozen GPT-2, joined by a learned bridge. Captions pictures.",
            USE.format(transformers=version("transformers")),
            f"## Test scores\n{_table(metrics)}\n\n95 % bootstrap intervals over the test pictures. "
            f"{scored_how(metrics)} Chosen on validation: CIDEr {decoding.cider:.3f}; captions are decoded "
            f"with {decoded}.",
            f"## Samples\n{_rows(('picture', 'caption', 'reference'), *samples)}",
            f"## Data\n{params['data']['source']} (`{tags['data']}`): pictures: {counts}. "
            f"Test split: `{tags['test_data']}`.",
            licences(params, tables),
            "## Limits\nIt describes what its training data shows, in their words. On other pictures it "
            "still answers, and is then wrong without saying so. Not for decisions about people.",
            f"## Training\nCode: commit {tags['git_commit'] or '(none)'}. Parameters:\n\n```yaml\n{yaml_}```",
        ]
    )
    return f"---\n{front_matter(tags, params, metrics)}\n---\n\n{body}"


def licences(params: Mapping[str, Any], tables: Tables) -> str:
    """What the weights were made of, and whose licences they are under."""
    return (
        f"Licence of the data: {tables.licence or 'none was given'}\n\n"
        f"Of the towers: those of {params['towers']['clip']} and {params['towers']['gpt2']}."
    )


def _table(metrics: Metrics) -> str:
    """Metrics down, without those of parts (entirely_right_counts), systems across: so it fits a page."""
    columns = systems({"**this model**": metrics})
    rows = [
        [METRICS[name].label, *(written(name, each.scores.get(name)) for each in columns)]
        for name in without_parts(columns[0].scores)
    ]
    return _rows(("", *(column.name for column in columns)), *rows)


def _rows(heading: Sequence[str], *rows: Sequence[str]) -> str:
    lines = [" | ".join(cells) for cells in (heading, ["---"] * len(heading), *rows)]
    return "\n".join(f"| {line} |" for line in lines)
