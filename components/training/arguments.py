"""The `TrainingArguments` that every training in the project shares."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments


def training_arguments(
    workdir: str | Path, *, seed: int, epochs: float, batch_size: int, learning_rate: float, **more: Any
) -> TrainingArguments:
    """Cosine schedule, 5 % warm-up, AdamW with weight decay, clipped gradients; nothing saved or reported.

    `more` overrides or adds any field of `transformers.TrainingArguments`; None leaves the default.
    In one process, one GPU is used, however many there are: several need several processes.
    """
    defaults = {
        "output_dir": str(workdir),
        "seed": seed,
        "data_seed": seed,
        "num_train_epochs": epochs,
        "per_device_train_batch_size": batch_size,
        "learning_rate": learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.05,  # below 1: a share of all steps
        "weight_decay": 0.01,
        "adam_beta2": 0.98,
        "max_grad_norm": 1.0,
        "bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "use_cpu": not torch.cuda.is_available(),
        "logging_steps": 50,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": False,
        "remove_unused_columns": False,  # datasets here give row numbers; collators build the batch
        "dataloader_pin_memory": False,
        "ddp_find_unused_parameters": False,  # all of the bridge is used in every step
    }
    given = {name: value for name, value in more.items() if value is not None}
    arguments = TrainingArguments(**(defaults | given))
    if arguments.n_gpu > 1:  # else the Trainer takes torch.nn.DataParallel, and multiplies the batch size
        arguments._n_gpu = 1
    return arguments
