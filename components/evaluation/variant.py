"""Evaluate one trained variant on the test split, beside the baselines it has to beat."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from transformers import AutoTokenizer

from components.config import Params
from components.data.tables import Tables
from components.evaluation import baselines
from components.evaluation.clip_score import clip_scores
from components.evaluation.evaluate import Evaluation, evaluate
from components.evaluation.results import MODEL
from components.evaluation.scenes import pair_statistics, read_pairs
from components.evaluation.scoring.decode import decode, likelihood
from components.evaluation.scoring.degeneration import degeneration
from components.evaluation.scoring.monitors import monitors
from components.evaluation.scoring.scorers import References
from components.evaluation.truth import Truth
from components.features.encoder import ClipEncoder, load_clip
from components.features.live import LiveFeatures
from components.features.store import Features
from components.model import CaptionModel, for_inference


def evaluate_variant(
    params: Params, tables: Tables, features: Features, towers: str | Path, model_folder: str | Path
) -> Evaluation:
    """Captions of the test split by the model in `model_folder`, scored together with the three
    baselines'.
    """
    settings, test, train = params.evaluate, tables.split("test"), tables.split("train")
    references = References(test.references())
    image_ids = list(references.raw)
    model = CaptionModel.from_pretrained(model_folder)
    model = for_inference(model, settings.bf16, settings.torch_compile)

    say = partial(decode, model, model.processor, batch_size=settings.batch_size)
    decoded = say(image_ids, features.batch)
    shown = baselines.other_image(image_ids, params.seed)
    embeds, known = features.image_embeds(image_ids), train.references()
    systems = {
        MODEL: decoded.captions,
        "nearest_neighbour": baselines.nearest_neighbour(
            image_ids, embeds.numpy(), list(known), features.image_embeds(list(known)).numpy(), known
        ),
        "blind": {image_id: decoded.captions[shown[image_id]] for image_id in image_ids},
        "most_frequent": dict.fromkeys(image_ids, baselines.most_frequent(train.captions["caption"])),
    }
    clip = load_clip(Path(towers) / "clip").to(model.device)
    tokenizer = AutoTokenizer.from_pretrained(Path(towers) / "clip")
    truth = Truth(tables, test, references.language)
    said = {name: [captions[i] for i in image_ids] for name, captions in systems.items()}
    extra = {
        name: {"clip": clip_scores(clip, tokenizer, embeds, captions)} | truth.statistics(captions)
        for name, captions in said.items()
    }
    extra[MODEL]["likelihood"] = likelihood(model, model.processor, references.raw, features.batch)
    extra["blind"]["likelihood"] = likelihood(model, model.processor, references.raw, features.batch, shown)
    if pairs := read_pairs(tables):  # few pictures, encoded when asked for
        live = LiveFeatures(pairs, ClipEncoder.of(params, Path(towers) / "clip"))
        captions = say(list(pairs.images["image_id"]), live.batch, progress="minimal pairs").captions
        extra[MODEL]["minimal_pairs"] = pair_statistics(pairs, list(captions.values()))
    evaluation = evaluate(
        systems,
        references,
        extra=extra,
        monitors=monitors(decoded.captions, references.raw, train.captions["caption"], decoded.ended),
        notes=truth.notes(said[MODEL]),
        samples=settings.bootstrap_samples,
        seed=params.seed,
    )
    cider = evaluation.intervals[MODEL]["CIDEr"].mean
    wrong = degeneration(decoded.captions, references.raw, decoded.ended, cider, "test")
    return replace(evaluation, degenerate=wrong)
