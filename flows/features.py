"""Stage `features`: the frozen vision tower over every image, once.

python -m flows.features
"""

from functools import lru_cache
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from tqdm import tqdm

from components.config import Params
from components.data.features import Features, FeatureStore, Shard, plan_shards, seal, write_meta, write_shard
from components.data.tables import Tables, read_tables
from flows.parallel import map_task, task_runner
from flows.paths import FEATURES, PREPARED, TOWERS
from flows.stage import main, stage


@stage
def features() -> None:
    """Add what the store lacks, shard by shard; an interrupted run keeps its complete shards."""
    from components.towers.encode import encoder_id

    params, tables = Params.load(), read_tables(PREPARED)
    settings, tower = params.features, encoder_id(TOWERS / "clip", params.model.feature_layer)
    if not settings.cache:
        FEATURES.mkdir(parents=True, exist_ok=True)
        write_meta(FEATURES, {"encoder_id": tower, "images": 0})
        print("features.cache is false: pictures are encoded in training and evaluation, every time.")
        return
    shards = plan_shards(FEATURES, tables.images, tower, views=settings.views)
    where = {"out": FEATURES.resolve(), "data": PREPARED.resolve(), "clip": (TOWERS / "clip").resolve()}
    frames = [sum(shard.num_frames) for shard in shards]
    with tqdm(total=sum(frames), desc="features", unit="image") as bar:
        map_task(
            task_runner(settings.task_runner, settings.address, settings.workers),
            compute_shard,
            shards,
            lambda i: bar.update(frames[i]),
            **where,
            tower=tower,
            layer=params.model.feature_layer,
            batch_size=settings.batch_size,
        )
    seal(FEATURES, tables.images, tower, settings.views)


@task(cache_policy=NO_CACHE, task_run_name="shard-{piece.number}")
def compute_shard(
    piece: Shard, out: Path, data: Path, clip: Path, tower: str, layer: int, batch_size: int
) -> None:
    """Encode the images of one shard and write it to the store `out`, wherever this runs."""
    encoder, tables = (
        _encoder(clip, layer, tower),
        _tables(data, (data / "images.parquet").stat().st_mtime_ns),
    )
    write_shard(out, piece, *encoder.encode(tables, piece.image_ids, batch_size, views=piece.views))


@lru_cache(maxsize=1)
def _encoder(clip: Path, layer: int, tower: str):
    """Once a process; `tower` is its hash, so that a process never goes on with an old one."""
    from components.towers.encode import VisionEncoder

    return VisionEncoder(clip, layer)


@lru_cache(maxsize=1)
def _tables(data: Path, changed: int) -> Tables:
    return read_tables(data)


def open_features(params: Params, tables: Tables) -> Features:
    """The images as training, evaluation and report want them: from the store, or encoded on the fly."""
    if params.features.cache:
        return FeatureStore(FEATURES)
    from components.data.live_features import LiveFeatures
    from components.towers.encode import VisionEncoder

    encoder = VisionEncoder(TOWERS / "clip", params.model.feature_layer)
    return LiveFeatures(tables, encoder, params.features.batch_size, params.features.views)


if __name__ == "__main__":
    main(features)
