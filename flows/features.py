"""Stage `features`: the frozen vision tower over every image, once; and which images it cannot tell apart.

python -m flows.features
"""

from typing import Literal

import pandas as pd

from components.config import Params
from components.data.prepare.rules import BY_EMBEDDING, RULES
from components.data.tables import Tables, read_tables
from components.features.near_twins import COLUMNS, find_near_twins, report_near_twins
from components.features.store import Features, FeatureStore, plan_shards, seal, write_meta
from flows.feature_shards import compute_shard
from flows.parallel import Runner, map_task
from flows.paths import FEATURES, PREPARED, TOWERS, VALIDATION, require_towers
from flows.stage import main, stage


@stage
def features() -> None:
    """Add what the store lacks, shard by shard; an interrupted run keeps its complete shards."""
    from components.features.encoder import encoder_id, takes_bf16

    params, tables = Params.load(), read_tables(PREPARED)
    params.require_time_embeddings(tables.longest)  # before hours are spent on them
    require_towers()
    settings, layer, bf16 = params.features, params.model.feature_layer, takes_bf16(params.features.bf16)
    tower = encoder_id(TOWERS / "clip", layer, bf16)
    if not settings.cache:
        FEATURES.mkdir(parents=True, exist_ok=True)
        write_meta(FEATURES, {"encoder_id": tower, "images": 0})
        report_near_twins(pd.DataFrame(columns=COLUMNS), tables, VALIDATION.parent)
        print("features.cache is false: pictures are encoded in training and evaluation, every time.")
        return
    shards = plan_shards(FEATURES, tables.images, tower, views=settings.views)
    map_task(
        Runner.of(params.task_runner, workers=1),
        compute_shard,
        shards,
        [sum(shard.num_frames) for shard in shards],
        out=FEATURES.resolve(),
        data=PREPARED.resolve(),
        clip=(TOWERS / "clip").resolve(),
        tower=tower,
        layer=layer,
        bf16=bf16,  # decided here, for all machines of a cluster
        readers=settings.readers,
        batch_size=settings.batch_size,
    )
    seal(FEATURES, tables.images, tower, settings.views)
    pairs = find_near_twins(FeatureStore(FEATURES), tables.images, params.data.seed)
    severity = params.data.severity.get(BY_EMBEDDING, RULES[BY_EMBEDDING].severity)
    report_near_twins(pairs, tables, VALIDATION.parent, severity)


def open_features(
    params: Params, tables: Tables, resident: Literal["auto", "gpu", "host", "disk"] = "disk"
) -> Features:
    """The images as training, evaluation and report want them: from the store, or encoded on the fly.
    `resident`: see `FeatureStore`.
    """
    if params.features.cache:
        return FeatureStore(FEATURES, resident)
    from components.features.encoder import ClipEncoder
    from components.features.live import LiveFeatures

    encoder = ClipEncoder.of(params, TOWERS / "clip")
    return LiveFeatures(tables, encoder, params.features.batch_size, params.features.views)


if __name__ == "__main__":
    main(features)
