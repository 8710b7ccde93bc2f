"""One trained and scored variant made a version of the registry, with all that traces it back."""

from pathlib import Path

import pandas as pd

from components.config import Params
from components.data.tables import Tables
from components.evaluation.results import read_metrics, rows_of, tokenizer
from components.registry.card import LICENCES, licences, model_card
from components.registry.gate import Candidate
from components.registry.origin import origin_folder, snapshot
from components.registry.reload import reload_problem
from components.registry.samples import embedded, log_samples
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
    metrics, scores = read_metrics(results), pd.read_parquet(results / "per_image.parquet")
    degenerate = decoding.degenerate or metrics.get("degenerate")
    test, code = tables.split("test"), git_tags()
    tags = {
        "variant": variant,
        "test_data": tables_digest(test),
        "data": tables_digest(tables),
        "tokenizer": tokenizer(metrics),
        "val/CIDEr": f"{decoding.cider:.4f}",
        "git_commit": code.get("mlflow.source.git.commit", ""),
        "git_dirty": code.get("git.dirty", ""),
    }
    if degenerate:
        tags["degenerate"] = degenerate
    name, plain = params.register_.name, params.model_dump(by_alias=True)
    tags[LICENCES] = licences(plain, tables)
    captions, references = rows_of(scores)["caption"], test.sample(SAMPLES, params.seed).references()
    clips = [test.open_frames(image_id) for image_id in references]
    samples = [
        (embedded(image_id, frames), captions[image_id], said[0])
        for (image_id, said), frames in zip(references.items(), clips, strict=True)
    ]
    with open_variant_run(
        variant,
        stage="register",
        params=plain,
        data=tags["data"],
        weights=weights_digest(model),
        scores=scores_digest(results),
    ) as run:
        run_id = run.require_id()
        log_samples(run, clips)
        version = log_captioner(
            captioner,
            run_id,
            card=model_card(
                tags, params=plain, metrics=metrics, decoding=decoding, tables=tables, samples=samples
            ),
            example=clips[0][len(clips[0]) // 2],
            tags=tags,
            name=name,
        )
        for file, text in snapshot().items():
            run.log_text(text, file, origin_folder(name, version))
    problem = reload_problem(f"models:/{name}/{version}", clips, captioner.caption(clips))
    return Candidate(
        variant,
        version,
        run_id,
        decoding.cider,
        tags["test_data"],
        scores,
        problem,
        degenerate,
        tags["tokenizer"],
    )
