"""What a run would cost, and what would stop it, in about a minute: `python -m flows.dvc_repro --dry-run`.

It reads the tables, opens some pictures, brings the towers, encodes, trains, validates and captions for some
seconds each by the code that the stages run, and multiplies that out (`components.planning`). Nothing is left
behind.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from transformers import AutoConfig
from transformers.utils import logging

from components.config import Params
from components.data.prepare.validate import count, describe
from components.errors import UserError
from components.features.residence import choose_residence, free_gpu_memory, free_host_memory
from components.planning import rates as measure
from components.planning.costs import Cost, Rates, Towers, costs, feature_bytes
from components.planning.sample import Sample, look
from components.towers.build import CHECKED_CAPTIONS, bring
from components.towers.fetch import KINDS, TowerName
from components.towers.hub import download_size, is_here
from components.towers.stand_in import FULL_SIZE, write_stand_in
from flows.train import open_init

ANY_CAPTION = "a dog on a street"
"""That the towers are asked about where the data cannot be read."""

RESERVE = 0.05
"""Of the free disk, which nothing should fill."""


@dataclass(frozen=True)
class Estimate:
    """What was found, and what follows from it: a row a stage."""

    sample: Sample
    towers: Towers
    rates: Rates
    rows: list[Cost]


class Findings:
    """What would stop the run: each a sentence with its remedy; printed as it is found."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        """One more."""
        self.messages.append(message)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What ends a stage with one message is kept here, and the dry run goes on."""
        try:
            yield
        except UserError as error:
            self.add(str(error))


def dry_run(side_by_side: int = 1) -> int:
    """Print what would be done, the table of costs, and what would stop it; 1 if anything would.

    Args:
        side_by_side: how many variants are trained at once.

    Raises:
        UserError: params.yaml is missing or wrong.
    """
    params, findings = Params.load(), Findings()
    with findings.kept():
        if estimate := measured(params, side_by_side, findings):
            _print(estimate, _check_room(estimate, params, findings))
    for message in findings.messages:
        print(f"\nNot possible: {message}")
    print("\nNothing stands in the way." if not findings.messages else "")
    return min(1, len(findings.messages))


def measured(params: Params, side_by_side: int, findings: Findings) -> Estimate | None:
    """Look at everything and measure; None where data or towers leave nothing to measure.

    Raises:
        UserError: training cannot begin.
    """
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix=".dry-run-", dir=".") as name:
        folder = Path(name)
        sample = _data(params, folder, findings)
        captions = list(sample.pictures.captions["caption"])[:CHECKED_CAPTIONS] if sample else [ANY_CAPTION]
        towers = _towers(params, captions, folder / "towers", findings)
        if not (sample and towers):
            return None
        rates = _rates(params, sample, towers, folder, side_by_side, findings)
    return Estimate(sample, towers, rates, costs(sample.size, towers, rates, params, side_by_side > 1))


def _data(params: Params, folder: Path, findings: Findings) -> Sample | None:
    """Tables and pictures."""
    (place := folder / "data").mkdir()
    with findings.kept():
        sample = look(params.data, place)
        size, faults = sample.size, sample.faults
        print(*sample.notes, sep="\n", end="\n" if sample.notes else "")
        print(
            f"data: {size.images:,} images (train {size.train:,}, val {size.val:,}, test {size.test:,}), "
            f"{size.captions:,} captions; {sample.opened} pictures opened"
        )
        for severity, part in faults.groupby("severity"):
            print(f"  {severity}: {', '.join(f'{name} {n:,}' for name, n in count(part).items())}")
        if len(fatal := faults[faults["severity"] == "fail"]):
            findings.add(describe(fatal, "All of them, and of all pictures: dvc repro prepare."))
        return sample
    return None


def _towers(params: Params, captions: Sequence[str], folder: Path, findings: Findings) -> Towers | None:
    """Both towers in `folder`, or others of their size where they are not here yet."""
    for tower in KINDS:
        _bring(tower, params, captions, folder / tower, findings)
    if not all((folder / tower / "model.safetensors").exists() for tower in KINDS):
        return None
    config = AutoConfig.from_pretrained(folder / "clip").vision_config
    patches = (config.image_size // config.patch_size) ** 2
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    tokens = patches + (config.model_type == "clip_vision_model")  # the class token; SigLIP has none
    return Towers(disk, tokens, config.hidden_size)


def _bring(
    tower: TowerName, params: Params, captions: Sequence[str], folder: Path, findings: Findings
) -> None:
    source, revision = getattr(params.towers, tower), getattr(params.towers, f"{tower}_revision")
    if is_here(source, revision):
        with findings.kept():
            folder.mkdir(parents=True)
            bring(tower, params.towers, captions, folder)
            print(f"towers.{tower}: {source}, here and fit for the captions")
        return
    known = FULL_SIZE.get(source)
    with findings.kept():
        size = download_size(tower, source, revision)
        print(f"towers.{tower}: {source}, to be downloaded: {size / 1e9:.2f} GB")
        known = known or partial(AutoConfig.from_pretrained, source, revision=revision)
    if known:
        config = known()
        write_stand_in(tower, config, Path("pretrained") / tower, folder)
        print(f"towers.{tower}: measured with random weights of its size")


def _rates(
    params: Params, sample: Sample, models: Towers, folder: Path, side_by_side: int, findings: Findings
) -> Rates:
    """Measured here; of the variants, with the cores that each will have."""
    towers, cores = folder / "towers", torch.get_num_threads()
    encoded = measure.encoding(sample.pictures, towers / "clip", params, folder / "features")
    rates = measure.machine(sample, encoded, towers / "gpt2", folder)
    room = _room_to_train(params, feature_bytes(sample.size, models, params)) / side_by_side
    torch.set_num_threads(max(1, cores // side_by_side))
    for variant in params.variants:
        init = open_init(params.train.init, variant)
        held, memory = measure.variant_rates(
            params, variant, encoded, towers, folder / "training" / variant, init, room
        )
        rates.variants[variant] = held
        if memory.pieces > params.train.gradient_accumulation_steps:
            findings.add(
                f"train {variant}: a step of {params.train.batch_size} examples takes "
                f"{_gb(memory.whole)}, and {_gb(room)} are free. Set train.gradient_accumulation_steps to "
                f"{memory.pieces}: the result is the same."
            )
    torch.set_num_threads(cores)
    return rates


def _room_to_train(params: Params, stored: float) -> float:
    """Bytes for a step, beside the features where they lie in the same memory."""
    gpu, host = free_gpu_memory(), free_host_memory()
    if not stored:
        return gpu or host
    residence = choose_residence(params.features.resident, int(stored))
    print(f"training: features {residence}")
    beside = {"gpu": gpu > 0, "host": gpu == 0}.get(residence.place, False)
    return (gpu or host) - stored * beside


def _check_room(estimate: Estimate, params: Params, findings: Findings) -> list[bool]:
    """Whether each stage has room on the disk, after those before it, and in memory."""
    free, host, used, room = shutil.disk_usage(".").free * (1 - RESERVE), free_host_memory(), 0.0, []
    for row in estimate.rows:
        used += row.disk
        room.append(used <= free and row.memory <= host)
        if row.memory > host:
            findings.add(f"{row.stage}: about {_gb(row.memory)} of memory, and {_gb(host)} are free.")
    if used > free:
        stored = feature_bytes(estimate.sample.size, estimate.towers, params)
        remedies = [f"features.cache: false saves {_gb(stored)}"] if stored else []
        remedies += ["data.copy: false leaves pictures where they are"] if params.data.copy_ else []
        findings.add(
            f"disk: {_gb(used)} will be written, and {_gb(free)} are free at {Path.cwd()}. Make room"
            f"{', or: ' + '; '.join(remedies) if remedies else ''}."
        )
    return room


def _print(estimate: Estimate, room: Sequence[bool]) -> None:
    rows, rates = estimate.rows, estimate.rates
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("stage", "what", "hours", "disk", "memory", "GPU", ""):
        table.add_column(heading, justify="left" if heading in ("stage", "what", "") else "right")
    total = Cost("total", "", sum(row.seconds for row in rows), sum(row.disk for row in rows))
    for row, fits in zip([*rows, total], [*room, all(room)], strict=True):
        sizes = (_gb(size) if size else "" for size in (row.disk, row.memory, row.gpu))
        verdict = "ok" if fits else "no room"
        table.add_row(row.stage, row.what, f"{row.seconds / 3600:.2f}", *sizes, verdict)
    Console().print(table)
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} cores"
    print(
        f"Measured on {name}: {rates.decode:,.0f} pictures a second decoded, {rates.encode:,.0f} encoded; "
        f"disk {rates.write / 1e6:,.0f} MB/s, MD5 {rates.md5 / 1e6:,.0f} MB/s"
    )
    for variant, found in rates.variants.items():
        print(
            f"  {variant}: {1 / found.step:,.1f} steps, {found.validation:,.0f} validation pictures, "
            f"{found.beams:,.0f} with beams a second"
        )


def _gb(size: float) -> str:
    return f"{size / 1e9:,.2f} GB"
