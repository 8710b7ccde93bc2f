"""Stage `features`: the frozen vision tower over every image, once.

python -m flows.features
"""

from tqdm import tqdm

from components.config import Params
from components.data.features import plan_shards, seal, write_shard
from components.data.tables import read_tables
from flows.paths import FEATURES, PREPARED, TOWERS
from flows.stage import main, stage


@stage
def features() -> None:
    """Add what the store lacks, shard by shard; an interrupted run keeps its complete shards."""
    from components.towers.encode import VisionEncoder

    params, tables = Params.load(), read_tables(PREPARED)
    encoder = VisionEncoder(TOWERS / "clip", params.model.feature_layer)
    shards = plan_shards(FEATURES, tables.images, encoder.encoder_id)
    with tqdm(total=sum(len(shard.image_ids) for shard in shards), desc="features", unit="image") as bar:
        for shard in shards:
            write_shard(
                FEATURES,
                shard,
                *encoder.encode(tables, shard.image_ids, params.features.batch_size, bar.update),
            )
    seal(FEATURES, tables.images, encoder.encoder_id)


if __name__ == "__main__":
    main(features)
