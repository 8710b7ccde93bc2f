"""`transformers.TrainingArguments` of params.yaml; what the block `train` leaves open (null) follows from the
data."""

from math import ceil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from components.config import Params, TrainParams
from components.errors import UserError
from components.features.encoder import takes_bf16
from components.training.processes import world_size

STEPS = 2000
"""Optimizer steps by which a bridge writes what its towers see: fewer leave its gates nearly closed and its
captions empty or all the same, however few pictures there are."""

EPOCHS = (3, 100)
"""Bounds: of many pictures each is still seen a few times, and a handful of them is not learned by heart."""

STEPS_BETWEEN_VALIDATIONS = 200


def training_arguments(
    workdir: str | Path, params: Params, num_examples: int, sharded: list[str], loading: dict[str, Any]
) -> TrainingArguments:
    """Of a training on `num_examples` pictures, whose best checkpoint by CIDEr is kept.

    In one process, one GPU is used, however many there are: several need several processes.

    Args:
        sharded: classes of the modules that FSDP shares out.
        loading: how batches get to the device, see `components.training.dataset.loading`.

    Raises:
        UserError: a batch that cannot be divided among the processes.
    """
    settings, every = params.train, eval_steps(params.train, num_examples)
    pieces = world_size() * settings.gradient_accumulation_steps
    if settings.batch_size % pieces:
        raise UserError(
            f"train.batch_size is {settings.batch_size}: it cannot be divided among {world_size()} processes "
            f"with train.gradient_accumulation_steps {settings.gradient_accumulation_steps}."
        )
    on_gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        str(workdir),
        seed=params.seed,
        data_seed=params.seed,
        num_train_epochs=num_train_epochs(settings, num_examples),
        per_device_train_batch_size=settings.batch_size // pieces,
        per_device_eval_batch_size=-(-max(settings.batch_size, 64) // world_size()),
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler_type,
        warmup_steps=settings.warmup_ratio,  # below 1: a share of all steps
        weight_decay=settings.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=settings.max_grad_norm,
        bf16=takes_bf16(settings.bf16),
        torch_compile=settings.torch_compile,
        use_cpu=not on_gpu,
        fsdp=settings.fsdp and world_size() > 1,
        fsdp_config={"transformer_layer_cls_to_wrap": sharded},
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,  # the last and the best
        load_best_model_at_end=True,
        metric_for_best_model="CIDEr",
        greater_is_better=True,
        logging_steps=max(1, min(50, every)),
        report_to="none",
        disable_tqdm=True,  # `PrintedLog` shows the bar
        remove_unused_columns=False,  # datasets here give row numbers; collators build the batch
        ddp_find_unused_parameters=False,  # all of the bridge is used in every step
        **loading,
    )
    if arguments.n_gpu > 1:  # else the Trainer takes torch.nn.DataParallel, and multiplies the batch size
        arguments._n_gpu = 1
    return arguments


def num_train_epochs(settings: TrainParams, num_examples: int) -> float:
    """`train.epochs`, or as many as make `STEPS` steps, within `EPOCHS`."""
    if settings.epochs is not None:
        return settings.epochs
    fewest, most = EPOCHS
    return max(fewest, min(most, STEPS / ceil(num_examples / settings.batch_size)))


def eval_steps(settings: TrainParams, num_examples: int) -> int:
    """Steps from one validation to the next: `train.validations` in the whole training, or one every
    `STEPS_BETWEEN_VALIDATIONS`, but four at least."""
    steps = ceil(num_examples / settings.batch_size) * num_train_epochs(settings, num_examples)
    if settings.validations is None:
        return max(1, min(STEPS_BETWEEN_VALIDATIONS, int(steps / 4)))
    return max(1, int(steps / settings.validations))
