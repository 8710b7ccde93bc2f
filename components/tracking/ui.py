"""How the experiment meets the eye in MLflow: as model training, with a table that compares the variants.

Both are tags of the experiment. The view is what the UI itself writes for "Views > Save as new view"; a UI
that reads it differently merely does not list it.
"""

import json
import time

VIEW = "captioners"  # http://localhost:5000/#/experiments/1/runs?viewStateShareKey=captioners
COLUMNS = (
    "metrics.`val/CIDEr`",
    "metrics.`test/CIDEr`",
    "metrics.`test/CIDEr_low`",
    "metrics.`test/CIDEr_high`",
    "metrics.`test/entirely_right`",
    "metrics.`test/CHAIRi`",
    "metrics.`test/BLEU-4`",
    "metrics.`test/nearest_neighbour/CIDEr`",
    "metrics.`test/blind/CIDEr`",
    "tags.`registry`",
)
NOTE = (
    "One parent run a configuration, one child a variant. **Views > Captioners compared** lists the children."
)


def experiment_tags() -> dict[str, str]:
    """Set once, when the experiment is created: afterwards they are the user's to change."""
    return {
        "mlflow.note.content": NOTE,
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": _compared(),
    }


def _compared() -> str:
    """The children of all parents in one table: the UI nests runs only while they are ordered by date."""
    state = {
        "searchFilter": "params.variant != ''",
        "orderByKey": "metrics.`val/CIDEr`",
        "orderByAsc": False,
        "selectedColumns": COLUMNS,
    }
    now = time.time_ns() // 1_000_000
    view = {"name": "Captioners compared", "createdAt": now, "updatedAt": now, "state": json.dumps(state)}
    return json.dumps(view)
