"""Stage `train`: the bridge of one variant learns.

python -m flows.train mlp
"""

import sys

from components.config import Params, Variant
from components.data.features import FeatureStore
from components.data.tables import Tables, read_tables
from components.tracking import dataset_entry, open_variant_run, tables_digest
from flows.paths import FEATURES, MODELS, PREPARED, TOWERS
from flows.stage import main, stage


@stage
def train(variant: Variant) -> None:
    """Train, log to an MLflow run of the variant, keep the checkpoint that captions validation pictures best."""
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
        store = FeatureStore(FEATURES)
        scores = train_variant(params, variant, tables, store, TOWERS, MODELS / variant, [callback])
    run.record.write(MODELS / variant / "run.json")
    print(f"{variant}: best validation CIDEr {scores['CIDEr']:.3f} after {scores['epoch']:.1f} epochs")


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
