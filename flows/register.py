"""Stage `register`: every variant a version in the MLflow registry, the best one @champion if it passes the
gate.

    python -m flows.register
"""

import json
from pathlib import Path

import pandas as pd

from components.config import Params, Variant
from components.data.tables import Tables, read_tables
from components.evaluation.bootstrap import paired_bootstrap
from components.files import atomic_path
from components.tracking import RunRecord, open_variant_run, tables_digest
from components.tracking.card import DataFacts, Sample, model_card
from components.tracking.promotion import Candidate, promote
from components.tracking.provenance import git_tags
from components.tracking.registry import log_captioner
from components.tracking.verify import reload_problem
from flows.artifacts import versions_artifact
from flows.paths import MODELS, PREPARED, REGISTRY, RESULTS
from flows.stage import main, stage

SAMPLES = 8
"""Test pictures that a model card shows, and that a reloaded version must caption as it did when scored."""


@stage
def register(variants: list[Variant] | None = None) -> None:
    """Register `variants` (default: those of params.yaml), choose the champion, write
    reports/registry.json.
    """
    params, tables = Params.load(), read_tables(PREPARED)
    name = params.register_.name
    candidates = [candidate(variant, params, tables) for variant in variants or params.variants]
    decisions = promote(candidates, paired_bootstrap, name)
    rows = {
        decision.candidate.variant: {
            "version": int(decision.candidate.version),
            "alias": decision.alias,
            "val_CIDEr": decision.candidate.val_cider,
            "reason": decision.reason,
        }
        for decision in decisions
    }
    with atomic_path(REGISTRY) as path:
        path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    versions_artifact(name, rows)
    for variant, row in rows.items():
        alias = f" @{row['alias']}" if row["alias"] else ""
        print(f"{variant}: {name} version {row['version']}{alias}: {row['reason']}")


def candidate(variant: Variant, params: Params, tables: Tables) -> Candidate:
    """Register one variant and load it back in a fresh process."""
    from components.model import CaptionModel

    folder, test = MODELS / variant, tables.split("test")
    validation = best_validation(folder)
    scores = pd.read_parquet(RESULTS / variant / "per_image.parquet")
    captions = scores[scores["system"] == "model"].set_index("image_id")["caption"]
    shown = test.sample(SAMPLES, params.seed)
    image_ids, references = list(shown.images["image_id"]), shown.references()
    images = [test.open_image(image_id) for image_id in image_ids]
    decoding = params.evaluate.decoding()
    facts = DataFacts(
        name=params.data.source,
        digest=tables_digest(tables),
        test_digest=tables_digest(test),
        counts=tables.images["split"].value_counts().to_dict(),
        licence=params.data.licence,
    )
    commit = git_tags().get("mlflow.source.git.commit", "")
    card = model_card(
        variant,
        name=params.register_.name,
        params=params.model_dump(by_alias=True),
        metrics=json.loads((RESULTS / variant / "metrics.json").read_text(encoding="utf-8")),
        validation={"CIDEr": validation},
        data=facts,
        samples=[Sample(i, captions[i], references[i][0]) for i in image_ids],
        commit=commit,
    )
    tags = {
        "variant": variant,
        "test_data": facts.test_digest,
        "data": facts.digest,
        "val/CIDEr": f"{validation:.4f}",
        "git_commit": commit,
    }
    with open_variant_run(
        variant,
        stage="register",
        params=params.model_dump(by_alias=True),
        data=facts.digest,
        record=RunRecord.read(folder / "run.json"),
    ) as run:
        run_id = run.require_id()
        version = log_captioner(
            CaptionModel.from_pretrained(folder),
            run_id,
            card=card,
            example=images[0],
            decoding=decoding,
            tags=tags,
            name=params.register_.name,
        )
    uri = f"models:/{params.register_.name}/{version}"
    problem = reload_problem(uri, images, [captions[i] for i in image_ids], decoding)
    return Candidate(variant, version, run_id, validation, facts.test_digest, scores, problem)


def best_validation(folder: Path) -> float:
    """The validation CIDEr by which the checkpoint in `folder` was chosen."""
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    return max(record["val/CIDEr"] for record in history if "val/CIDEr" in record)


if __name__ == "__main__":
    main(register)
