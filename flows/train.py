"""Stage `train`: the bridge of one variant learns.

python -m flows.train mlp
"""

import sys

from components.config import Params, Variant
from components.data.report import data_metrics
from components.data.tables import Tables, read_tables
from components.tracking import dataset_entry, open_variant_run, tables_digest
from flows.artifacts import run_artifact
from flows.features import open_features
from flows.paths import FAULTS, MODELS, PREPARED, TOWERS
from flows.stage import main, stage


@stage
def train(variant: Variant) -> None:
    """Train, log to an MLflow run of the variant, keep the checkpoint that captions validation pictures
    best.
    """
    from components.tracking.callback import MlflowCallback
    from components.training.train import train_variant

    params, tables = Params.load(), read_tables(PREPARED)
    with open_variant_run(
        variant,
        stage="train",
        params=params.model_dump(by_alias=True),
        data=tables_digest(tables),
        datasets=[dataset_entry(tables, split) for split in ("train", "val")],
    ) as run:
        callback = MlflowCallback(run, validation_samples(tables, params.seed))
        features = open_features(params, tables)
        run.log_metrics(data_metrics(FAULTS))
        scores = train_variant(params, variant, tables, features, TOWERS, MODELS / variant, [callback])
        run.log_metrics({"data/truncated_captions": scores["truncated_captions"]})
    run.record.write(MODELS / variant / "run.json")
    run_artifact(variant, run.run_id)
    print(f"{variant}: best validation CIDEr {scores['CIDEr']:.3f} after {scores['epoch']:.1f} epochs")
    if scores["truncated_captions"]:
        print(
            f"{variant}: {scores['truncated_captions']} training captions have more than "
            f"{params.train.max_tokens} tokens and were cut (train.max_tokens)"
        )


def validation_samples(tables: Tables, seed: int, count: int = 12):
    """A few validation pictures to watch in MLflow while the bridge opens."""
    from components.tracking.callback import Samples

    val = tables.split("val").sample(count, seed)
    references = val.references()
    image_ids = list(val.images["image_id"])
    images = [val.open_image(image_id) for image_id in image_ids]
    return Samples(image_ids, images, [references[image_id][0] for image_id in image_ids])


if __name__ == "__main__":
    main(train, variant=sys.argv[1])
