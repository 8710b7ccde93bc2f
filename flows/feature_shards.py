"""The task that computes a shard of features, here or on another machine, which imports it from here."""

from pathlib import Path

from components.data.tables import Tables, read_tables
from components.features.store import Shard, write_shard
from flows.parallel import Progress, once
from flows.stage import piece_task


@piece_task
def compute_shard(
    piece: Shard,
    progress: Progress | None,
    *,
    out: Path,
    data: Path,
    clip: Path,
    tower: str,
    layer: int,
    bf16: bool,
    readers: int,
    batch_size: int,
) -> None:
    """Encode the images of one shard and write it to the store `out`."""
    encoder = _encoder(clip, layer, bf16, readers, tower)
    tables = _tables(data, (data / "images.parquet").stat().st_mtime_ns)
    report = progress or (lambda count: None)
    write_shard(out, piece, *encoder.encode(tables, piece.image_ids, batch_size, report, piece.views))


@once
def _encoder(clip: Path, layer: int, bf16: bool, readers: int, tower: str):
    """Once a process; `tower` is its hash, so that a process never goes on with an old one."""
    from components.features.encoder import ClipEncoder

    return ClipEncoder(clip, layer, bf16, readers)


@once
def _tables(data: Path, changed: int) -> Tables:
    return read_tables(data)
