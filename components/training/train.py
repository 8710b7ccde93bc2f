"""Train the bridge of one variant on cached features."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import TrainerCallback
from transformers.trainer_utils import EvalPrediction

from components.config import VARIANTS, Params
from components.data.features import Features
from components.data.tables import Tables
from components.evaluation.scorers import ValidationCider
from components.files import atomic_path
from components.model import CaptionModel, CaptionProcessor
from components.model.configuration import bridge_fields
from components.training.arguments import training_arguments
from components.training.checkpoints import claim, fingerprint, release
from components.training.dataset import CaptionCollator, CaptionDataset
from components.training.history import best_scores, history, write_history
from components.training.trainer import CaptionTrainer


def train_variant(
    params: Params,
    variant: str,
    tables: Tables,
    features: Features,
    towers: str | Path,
    out: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, float]:
    """Write the best checkpoint (by CIDEr of validation captions) and `history.json` to `out`; return its
    validation scores, and how many training captions were cut to `train.max_tokens`.

    An interrupted call, repeated with the same parameters, data and code, goes on from its last checkpoint.
    """
    checkpoints = Path(out).parent.parent / "checkpoints" / variant
    mark = fingerprint(
        params=params.model_dump(include={"seed", "model", "train"}),
        variant=variant,
        features=features.identity,
        splits=tables.images[["image_id", "split"]].values.tolist(),
        captions=tables.captions[["image_id", "caption"]].values.tolist(),
    )
    resume = claim(checkpoints, mark)
    torch.manual_seed(params.seed)
    towers = Path(towers)
    fields = bridge_fields(params.model.model_dump(), *VARIANTS[variant])
    model = CaptionModel.from_towers(towers / "clip", towers / "gpt2", **fields)
    model.processor = CaptionProcessor.from_towers(towers / "clip", towers / "gpt2")
    trainer = build_trainer(params, model, tables, features, checkpoints, callbacks)
    trainer.train(resume_from_checkpoint=resume)
    with atomic_path(out) as folder:
        folder.mkdir()
        model.save_pretrained(folder)
        write_history(records := history(trainer.state.log_history), folder)
    release(checkpoints)
    return best_scores(records) | {"truncated_captions": trainer.train_dataset.truncated}


def build_trainer(
    params: Params,
    model: CaptionModel,
    tables: Tables,
    features: Features,
    workdir: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> CaptionTrainer:
    """A `CaptionTrainer` for the splits `train` and `val` of `tables`."""
    settings, processor = params.train, model.processor
    train = CaptionDataset(tables.split("train"), processor, settings.max_tokens, params.features.views)
    val = CaptionDataset(
        tables.split("val").sample(settings.validation_images, params.seed), processor, settings.max_tokens
    )
    steps = -(-len(train) // (settings.batch_size * settings.gradient_accumulation_steps)) * settings.epochs
    every = max(1, int(steps / settings.validations))
    arguments = training_arguments(
        workdir,
        seed=params.seed,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_ratio,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        per_device_eval_batch_size=max(settings.batch_size, 64),
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the last and the best
        load_best_model_at_end=True,
        metric_for_best_model="CIDEr",
        greater_is_better=True,
        logging_steps=max(1, min(50, every)),
    )
    return CaptionTrainer(
        model,
        arguments,
        data_collator=CaptionCollator(features, processor.tokenizer.pad_token_id),
        train_dataset=train,
        eval_dataset=val,
        compute_metrics=validation_metrics(processor, val),
        callbacks=list(callbacks),
        gate_learning_rate=settings.gate_learning_rate,
        generation={"max_new_tokens": settings.max_tokens, "num_beams": 1},
    )


def validation_metrics(processor: CaptionProcessor, val: CaptionDataset) -> Callable[[EvalPrediction], dict]:
    """CIDEr of the validation captions that `CaptionTrainer` decoded, against all references of each
    image.
    """
    cider = ValidationCider(dict(zip(val.image_ids, val.references, strict=True)))

    def score(prediction: EvalPrediction) -> dict[str, float]:
        tokens = np.where(
            prediction.predictions < 0, processor.tokenizer.pad_token_id, prediction.predictions
        )
        image_ids = [val.image_ids[row] for row in prediction.label_ids]
        return {"CIDEr": cider.score(dict(zip(image_ids, processor.batch_decode(tokens), strict=True)))}

    return score
