"""Stage `train`: the bridge of one variant learns.

    python -m flows.train mlp                               # in train.num_processes processes
    torchrun --nproc-per-node 2 -m flows.train mlp          # the same by hand, without Prefect

Started by torchrun or `accelerate launch`, on one machine or several that share this folder, each process
trains; who started them sees to the rest.
"""

from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from components.config import Params, Variant
from components.data.prepare.report import data_counts
from components.data.tables import read_tables
from components.evaluation.scoring.degeneration import print_failure
from components.evaluation.scoring.language import Language
from components.program import main as run_program
from components.tracking.logger import VariantRun
from components.tracking.provenance import dataset_entry, tables_digest
from components.tracking.runs import open_variant_run
from flows.artifacts import run_artifact
from flows.features import open_features
from flows.paths import CHECKPOINTS, MODELS, PREPARED, TOWERS, VALIDATION, require_towers
from flows.stage import main, parameters_of, stage

if TYPE_CHECKING:
    from components.training.decoding import Choice
    from components.training.warm_start import Init

SAMPLES = 12
"""Validation pictures or clips to watch in MLflow while the bridge opens."""


@stage
def train(variant: Variant) -> None:
    """Train, log to the variant's MLflow run, keep the checkpoint that captions validation pictures best."""
    processes = Params.load().train.num_processes
    if processes == 1:
        train_here(variant)
        return
    from components.training.processes import launch

    launch(processes, "-m", "flows.train", variant)


def train_here(variant: str) -> None:
    """What each process does; the first one logs and prints."""
    from components.tracking.callback import MlflowCallback
    from components.training.decoding import read_choice
    from components.training.processes import is_first
    from components.training.train import train_variant

    params, tables = Params.load(), read_tables(PREPARED)
    params.require_time_embeddings(tables.longest)
    require_towers()
    features = open_features(params, tables, params.features.resident)
    init = open_init(params.train.init, variant)
    places = (TOWERS, MODELS / variant, CHECKPOINTS / variant)
    fit = partial(train_variant, params, variant, tables, features, *places, init=init)
    if not is_first():
        fit()
        return
    print(f"{variant}: features {features.residence}")
    if init:
        print(f"{variant}: starts from {init.source}")
    elif params.train.init:
        print(f"{variant}: starts from nothing, as {params.train.init} has no such variant")
    with open_variant_run(
        variant,
        stage="train",
        params=params.model_dump(by_alias=True),
        data=tables_digest(tables),
        datasets=[dataset_entry(tables, split) for split in ("train", "val")],
    ) as run:
        run.log_params(data_counts(VALIDATION))
        # of a model that is shared out, no process can caption by itself
        samples = None if params.train.fsdp else tables.split("val").sample(SAMPLES, params.seed)
        if init:
            run.set_tags({"init": init.source, "init_weights": init.digest})
        scores = fit(callbacks=[MlflowCallback(run, samples)])
        run.made(model=MODELS / variant)
        choice = read_choice(MODELS / variant)
        log_choice(run, choice)
        run.set_tags({"tokenizer": Language.of(tables.split("val").captions["caption"]).tokenizer})
        run.log_params({"data/truncated_captions": scores["truncated_captions"]})
    run_artifact(variant, run.run_id)
    print(f"{variant}: best validation CIDEr {scores['CIDEr']:.3f} after {scores['epoch']:.1f} epochs")
    Console().print(choice.table(f"{variant}: decoding, by CIDEr of validation captions"))
    if scores["truncated_captions"]:
        print(
            f"{variant}: {scores['truncated_captions']} training captions have more than "
            f"{params.train.max_tokens} tokens and were cut (train.max_tokens)"
        )
    print_failure(variant, choice.best.degenerate)


def open_init(source: str | None, variant: str) -> "Init | None":
    """The bridge that `train.init` names, an alias pinned to the version that it points at now; None if it
    names none, or a folder of several without this variant.

    Raises:
        UserError: there is none.
    """
    if source is None:
        return None
    from components.registry.versions import load_captioner, pinned
    from components.training.warm_start import Init

    if not source.startswith("models:/"):
        return Init.of_folder(source, variant)
    model = load_captioner(version := pinned(source))
    return Init(version, model.config, model.bridge_state_dict())


def log_choice(run: VariantRun, choice: "Choice") -> None:
    """How captions are decoded, what else was tried, and what is wrong with the captions, if anything."""
    run.log_params({f"decoding.{name}": value for name, value in choice.best.setting.items()})
    run.log_metrics({"eval/CIDEr_decoded": choice.best.cider})
    run.log_table("decoding.json", choice.rows())
    if choice.best.degenerate:
        run.set_tags({"degenerate": choice.best.degenerate})


if __name__ == "__main__":
    from components.training.processes import launched, work

    if launched():
        run_program(work, train_here, *parameters_of(train).values())
    else:
        main(train)
