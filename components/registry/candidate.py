"""One trained and scored variant made a version of the registry, with all that traces it back."""

from pathlib import Path

import pandas as pd

from components.config import Params
from components.data.tables import Tables
from components.evaluation.results import read_metrics, rows_of
from components.registry.card import DataFacts, Sample, model_card
from components.registry.gate import Candidate
from components.registry.origin import origin_folder, snapshot
from components.registry.reload import reload_problem
from components.registry.versions import log_captioner
from components.tracking.git import git_tags
from components.tracking.provenance import scores_digest, tables_digest, weights_digest
from components.tracking.runs import open_variant_run

SAMPLES = 8
"""Test pictures that a model card shows, and that a reloaded version must caption as the model did."""


def register_variant(variant: str, params: Params, tables: Tables, model: Path, results: Path) -> Candidate:
    """Make the model in the folder `model`, scored in the folder `results`, a version, and load it back in a
    fresh process.

    Raises:
        UserError: a stage's output is missing, or the store cannot be reached.
    """
    from components.model import CaptionModel
    from components.training.decoding import read_choice

    captioner, decoding = CaptionModel.from_pretrained(model), read_choice(model).best
    metrics = read_metrics(results)
    degenerate = decoding.degenerate or metrics.get("degenerate")
    scores = pd.read_parquet(results / "per_image.parquet")
    captions = rows_of(scores)["caption"]
    test = tables.split("test")
    shown = test.sample(SAMPLES, params.seed)
    image_ids = list(shown.images["image_id"])
    clips = [test.open_frames(image_id) for image_id in image_ids]
    facts, tags = _facts(params, tables), git_tags()
    commit = tags.get("mlflow.source.git.commit", "")
    references = shown.references()
    card = model_card(
        variant,
        name=params.register_.name,
        params=params.model_dump(by_alias=True),
        metrics=metrics,
        validation={"CIDEr": decoding.cider},
        decoding=decoding.setting,
        data=facts,
        samples=[Sample(i, captions[i], references[i][0]) for i in image_ids],
        commit=commit,
    )
    with open_variant_run(
        variant,
        stage="register",
        params=params.model_dump(by_alias=True),
        data=facts.digest,
        weights=weights_digest(model),
        scores=scores_digest(results),
    ) as run:
        run_id = run.require_id()
        version = log_captioner(
            captioner,
            run_id,
            card=card,
            example=clips[0][len(clips[0]) // 2],
            tags={
                "variant": variant,
                "test_data": facts.test_digest,
                "data": facts.digest,
                "val/CIDEr": f"{decoding.cider:.4f}",
                "git_commit": commit,
                "git_dirty": tags.get("git.dirty", ""),
            }
            | ({"degenerate": degenerate} if degenerate else {}),
            name=params.register_.name,
        )
        for name, text in snapshot().items():
            run.log_text(text, name, origin_folder(params.register_.name, version))
    uri = f"models:/{params.register_.name}/{version}"
    problem = reload_problem(uri, clips, captioner.caption(clips))
    return Candidate(variant, version, run_id, decoding.cider, facts.test_digest, scores, problem, degenerate)


def _facts(params: Params, tables: Tables) -> DataFacts:
    return DataFacts(
        name=params.data.source,
        digest=tables_digest(tables),
        test_digest=tables_digest(tables.split("test")),
        counts=tables.images["split"].value_counts().to_dict(),
        licence=tables.licence,
    )
