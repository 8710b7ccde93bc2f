"""Train the bridge of one variant on cached features."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import TrainerCallback

from components.config import Params
from components.data.tables import Tables, table_digest
from components.errors import UserError
from components.features.store import Features
from components.files import atomic_path
from components.model import CaptionModel, CaptionProcessor, for_inference, require_compiler
from components.model.bridge import is_learned
from components.model.configuration import bridge_fields
from components.training.arguments import training_arguments
from components.training.checkpoints import claim, fingerprint
from components.training.dataset import CaptionCollator, CaptionDataset, loading
from components.training.decoding import choose_decoding, prepare, write_choice
from components.training.printing import PrintedLog
from components.training.processes import world_size
from components.training.trainer import CaptionTrainer, validation_metrics
from components.training.warm_start import Init
from components.variants import VARIANTS


def train_variant(
    params: Params,
    variant: str,
    tables: Tables,
    features: Features,
    towers: str | Path,
    out: str | Path,
    checkpoints: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
    init: Init | None = None,
) -> dict[str, float]:
    """Write the best checkpoint (by CIDEr of validation captions), `history.json` and `decoding.json` to
    `out`; return its validation scores, and how many training captions were cut to `train.max_tokens`.

    An interrupted call, repeated with the same parameters, data and code, goes on from its last checkpoint;
    with another number of processes, too. Each process of a distributed training calls this (see
    `components.training.processes`); the first one alone writes.

    Args:
        checkpoints: a folder for this training alone; it is gone when the training is complete.
        init: a trained captioner whose bridge this one starts from (`train.init`).

    Raises:
        UserError: no such variant, a batch that cannot be divided among the processes, or an `init` that does
            not fit.
    """
    if variant not in VARIANTS:
        raise UserError(f"There is no variant '{variant}'. Known: {', '.join(VARIANTS)}.")
    model = build_model(params, variant, Path(towers), init)
    mark = fingerprint(
        # the number of processes changes no result, and decoding is chosen afterwards
        params=params.model_dump(
            include={"seed", "model", "train"}, exclude={"train": {"num_processes", "decoding", "init"}}
        ),
        init=init and init.digest,
        sharded=params.train.fsdp and world_size() > 1,
        variant=variant,
        features=features.identity,
        splits=table_digest(tables.images[["image_id", "split"]]),
        captions=table_digest(tables.captions[["image_id", "caption"]]),
    )
    trainer = build_trainer(params, model, tables, features, checkpoints, callbacks)
    with trainer.args.main_process_first(local=False):
        resume = claim(checkpoints, mark)
    trainer.train(resume_from_checkpoint=resume)
    trainer.accelerator.wait_for_everyone()  # all have read the best checkpoint
    weights = trainer.accelerator.get_state_dict(trainer.model)  # gathered, if they were shared out
    records = history(trainer.state.log_history)
    if trainer.is_world_process_zero():
        with atomic_path(out) as folder:
            folder.mkdir()
            model.save_pretrained(folder, state_dict=weights)
            (folder / "history.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
            decide_decoding(params, folder, trainer.eval_dataset, features)
        shutil.rmtree(checkpoints, ignore_errors=True)  # nothing to resume
    best = max((record for record in records if "val/CIDEr" in record), key=lambda r: r["val/CIDEr"])
    return {
        "loss": best["val/loss"],
        "CIDEr": best["val/CIDEr"],
        "epoch": best["epoch"],
        "truncated_captions": trainer.train_dataset.truncated,
    }


def build_model(params: Params, variant: str, towers: Path, init: Init | None = None) -> CaptionModel:
    """The captioner of `variant` as its training begins, with its processor.

    Raises:
        UserError: an `init` that does not fit.
    """
    torch.manual_seed(params.seed)
    fields = bridge_fields(params.model.model_dump(), *VARIANTS[variant])
    model = CaptionModel.from_towers(towers / "clip", towers / "gpt2", **fields)
    model.processor = CaptionProcessor.from_towers(towers / "clip", towers / "gpt2")
    require_bridge_alone(model)
    if init is not None:
        init.give(model)
    return model


def require_bridge_alone(model: CaptionModel) -> None:
    """Training would go on, and be wrong, with a tower that learns or a part of the bridge that does not.

    Raises:
        RuntimeError: other parameters ask for gradients than those of the bridge.
    """
    parameters = dict(model.named_parameters())
    bridge = {name for name in parameters if is_learned(name)}
    trained = {name for name, parameter in parameters.items() if parameter.requires_grad}
    if wrong := sorted(trained ^ bridge):
        of_bridge, found = (sum(parameters[name].numel() for name in names) for names in (bridge, trained))
        raise RuntimeError(
            f"{found:,} parameters would be trained, the bridge has {of_bridge:,}: look at {wrong[0]}."
        )


def require_positions(model: CaptionModel, longest: int, num_frames: int) -> None:
    """The longest caption fits behind the longest clip: found here, not when a step comes to it.

    Args:
        longest: tokens of the longest caption, both ends included, as it was cut.
        num_frames: of the longest clip; 1 for pictures.

    Raises:
        UserError: it does not.
    """
    positions, prefix = model.config.text_config.n_positions, model.config.prefix_length * num_frames
    if prefix + longest > positions:
        raise UserError(
            f"the longest caption has {longest} tokens, the picture takes {prefix} positions before it, and "
            f"the language model has {positions}: lower train.max_tokens to {positions - prefix} or less."
        )


def decide_decoding(params: Params, folder: Path, val: CaptionDataset, features: Features) -> None:
    """Choose how the model in `folder` writes, and keep it there.

    It is loaded anew: a model that was shared out among processes cannot write by itself.
    """
    model = for_inference(CaptionModel.from_pretrained(folder))
    references = dict(zip(val.image_ids, val.references, strict=True))
    fixed = params.train.decoding.model_dump(exclude_none=True)
    write_choice(choose_decoding(model, references, features.batch, fixed), folder)
    model.generation_config.save_pretrained(folder)


def history(log: list[dict[str, float]]) -> list[dict[str, float]]:
    """The trainer's log with validation under `val/` (`eval_CIDEr` -> `val/CIDEr`), as the report names
    the curves; without times, so that the same training leaves the same bytes (MLflow has them).
    """
    times = ("_runtime", "_per_second")
    return [
        {key.replace("eval_", "val/", 1): value for key, value in record.items() if not key.endswith(times)}
        for record in log
    ]


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
    require_positions(model, max(int(part.tokens.lengths.max()) for part in (train, val)), tables.longest)
    prepare(
        model,
        settings.decoding.model_dump(exclude_none=True),
        longest=int(train.tokens.lengths.max()),
        num_frames=tables.longest,
    )
    if settings.torch_compile:
        require_compiler()
    # what FSDP gathers when it is called and lets go afterwards: layers of the towers. The bridge and the
    # embeddings stay together, for they are also called from outside their blocks.
    classes = {type(module).__name__ for module in model.modules()}
    sharded = sorted(classes & {"CLIPEncoderLayer", "SiglipEncoderLayer", "GPT2Attention", "GPT2MLP"})
    return CaptionTrainer(
        model,
        training_arguments(workdir, params, len(train), sharded, loading(features, params.features.readers)),
        data_collator=CaptionCollator(features, processor.tokenizer.pad_token_id),
        train_dataset=train,
        eval_dataset=val,
        compute_metrics=validation_metrics(processor, val),
        callbacks=[PrintedLog(), *callbacks],
        settings=settings,
    )
