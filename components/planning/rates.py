"""How fast this machine is at what the stages do, measured by what they call, for some seconds each."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.data import Subset
from transformers import AutoTokenizer, ProgressCallback, TrainerCallback

from components.config import Params
from components.data.tables import Tables
from components.errors import UserError
from components.evaluation.scoring.decode import decode
from components.features.encoder import ClipEncoder
from components.features.store import FeatureStore, plan_shards, seal, write_shard
from components.model import for_inference
from components.planning.costs import BEAMS, Rates, VariantRates
from components.planning.memory import Memory, memory_of_step
from components.planning.sample import Sample, repeated
from components.training.train import build_model, build_trainer
from components.training.trainer import CaptionTrainer
from components.training.warm_start import Init

SECONDS = 4.0
"""That a measurement lasts, where a single piece of work does not take longer."""

MOST = (32, 1024)
"""Examples of a step that is measured, without and with a GPU, which are full by then: more take longer in
proportion."""

ROWS = 10_000  # images of the training that is measured, most of them the same

BLOCK = 64 * 2**20  # bytes that are written and hashed


@dataclass(frozen=True)
class Encoded:
    """Frames a second; and the encoded pictures again and again, enough to train with, in a store."""

    rate: float
    tables: Tables
    store: Path


def timed(work: Callable[[], Any]) -> float:
    """Seconds of `work`."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def start_of(module: str) -> float:
    """Seconds until DVC has started and a stage has imported `module`."""
    stages = [sys.executable, "-m", "dvc", "--version"], [sys.executable, "-c", f"import {module}"]
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    return sum(timed(partial(run, command)) for command in stages)


def machine(sample: Sample, encoded: Encoded, gpt2: Path, folder: Path) -> Rates:
    """Everything but the variants."""
    block = os.urandom(BLOCK)
    captions = [f" {caption}" for caption in sample.pictures.captions["caption"]] * 8
    tokenizer = AutoTokenizer.from_pretrained(gpt2)
    tokenizer(captions[:1])
    return Rates(
        start=start_of("components.training.train"),
        start_prepare=start_of("components.data.prepare.prepare"),
        memory=float(psutil.Process().memory_info().rss),
        read=sample.read,
        pair=sample.pair,
        decode=sample.decode,
        write=BLOCK / timed(lambda: _write(folder / "block", block)),
        md5=BLOCK / timed(lambda: hashlib.md5(block, usedforsecurity=False)),
        encode=encoded.rate,
        tokenise=len(captions) / timed(lambda: tokenizer(captions)),
    )


def _write(path: Path, block: bytes) -> None:
    with path.open("wb") as file:
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
    path.unlink()


def encoding(pictures: Tables, clip: Path, params: Params, store: Path) -> Encoded:
    """Encode some of `pictures`, first a batch to warm up, as many as take about `SECONDS`."""
    encoder, images = ClipEncoder.of(params, clip), pictures.images
    first = params.features.batch_size if torch.cuda.is_available() else min(params.features.batch_size, 16)
    ids = list(images["image_id"])[:first]
    encoder.encode(pictures, ids[:2], params.features.batch_size)
    seconds = timed(lambda: encoder.encode(pictures, ids, params.features.batch_size)) / len(ids)
    count = max(len(ids), min(len(images), int(SECONDS / seconds)))
    rows = min(20 * params.train.batch_size, ROWS)
    chosen = replace(pictures, images=images.head(count))
    tables = repeated(chosen, rows, params.train.validation_images)
    store.mkdir()
    frames, spent = 0, 0.0
    for shard in plan_shards(store, tables.images, encoder.encoder_id):
        begun = time.perf_counter()
        features = encoder.encode(tables, shard.image_ids, params.features.batch_size)
        spent, frames = spent + time.perf_counter() - begun, frames + sum(shard.num_frames)
        write_shard(store, shard, *features)
    seal(store, tables.images, encoder.encoder_id)
    return Encoded(frames / spent, tables, store)


class Stopwatch(TrainerCallback):
    """Takes the time of every step but the first, and ends the training after `seconds` of them."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last, self.steps = seconds, 0.0, []

    def on_step_end(self, args, state, control, **kwargs):
        """Nothing is validated or saved."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self.last:
            self.steps.append(now - self.last)
        self.last = now
        control.should_training_stop = sum(self.steps) > self.seconds
        control.should_evaluate = control.should_save = False

    @property
    def step(self) -> float:
        """Seconds of a step, the median: a few may wait for something else."""
        return sorted(self.steps)[len(self.steps) // 2]


def variant_rates(
    params: Params,
    variant: str,
    encoded: Encoded,
    towers: Path,
    workdir: Path,
    init: Init | None,
    room: float,
) -> tuple[VariantRates, Memory]:
    """Train `variant` for some seconds by the real trainer, then validate and caption with beams.

    Args:
        init: see `train_variant`.
        room: bytes that a step may take. Where it would take more, it is measured in more pieces.

    Raises:
        UserError: `init` does not fit, or the step does not into the memory, or not even one example.
    """
    settings = params.train
    model, watch = build_model(params, variant, towers, init), Stopwatch(SECONDS)
    share = settings.batch_size // settings.num_processes
    one = _one_process(params, min(share, MOST[torch.cuda.is_available()]))
    store = FeatureStore(encoded.store, "gpu" if torch.cuda.is_available() else "host")
    trainer = build_trainer(one, model, encoded.tables, store, workdir)
    memory = memory_of_step(trainer, share, settings.gradient_accumulation_steps, room)
    one = _one_process(params, piece := min(share // memory.pieces, one.train.batch_size))
    trainer = build_trainer(one, model, encoded.tables, store, workdir, [watch])
    trainer.remove_callback(ProgressCallback)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        trainer.train()
    except torch.OutOfMemoryError:
        raise UserError(
            f"train {variant}: a step of {share} examples does not fit into the GPU's memory. Set "
            f"train.gradient_accumulation_steps to {2 * memory.pieces} or more: the result is the same."
        ) from None
    if torch.cuda.is_available() and piece * memory.pieces == share:
        memory = replace(memory, step=float(torch.cuda.max_memory_allocated()))
    bridge = sum(p.numel() * p.element_size() for p in model.bridge_parameters())
    held = psutil.Process().memory_info().rss
    rates = VariantRates(
        step=watch.step * share / piece,
        validation=_validation(trainer),
        beams=_beams(trainer, store),
        memory=float(held) + (0.0 if torch.cuda.is_available() else memory.activations),
        gpu=memory.step if torch.cuda.is_available() else 0.0,
        bridge=bridge,
    )
    return rates, memory


def _validation(trainer: CaptionTrainer) -> float:
    """Pictures a second, without their CIDEr, which is of all of them."""
    trainer.compute_metrics = None
    return _rate(lambda count: trainer.evaluate(Subset(trainer.eval_dataset, range(count))), trainer)


def _beams(trainer: CaptionTrainer, store: FeatureStore) -> float:
    model, ids = for_inference(trainer.model), trainer.eval_dataset.image_ids
    how = {"num_beams": BEAMS, "length_penalty": 0.0, "progress": None}
    return _rate(lambda count: decode(model, model.processor, ids[:count], store.batch, **how), trainer)


def _rate(work: Callable[[int], Any], trainer: CaptionTrainer) -> float:
    """Pictures a second of `work` on so many of them as take about `SECONDS`."""
    most = len(trainer.eval_dataset)
    few = min(8, most)
    work(min(2, most))
    count = max(few, min(most, int(few * SECONDS / timed(lambda: work(few)))))
    return count / timed(lambda: work(count))


def _one_process(params: Params, batch_size: int) -> Params:
    """`params` for a training without an end in this process, its steps whole, without augmented views."""
    values = params.model_dump(by_alias=True)
    values["features"]["views"] = 1
    changed = {"batch_size": batch_size, "gradient_accumulation_steps": 1, "num_processes": 1}
    values["train"] |= changed | {"fsdp": False, "epochs": 1e6}
    return Params.model_validate(values)
