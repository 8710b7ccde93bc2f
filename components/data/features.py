"""The feature store: what the frozen vision tower says of every image, computed once.

On disk, a folder of shards, each complete in itself:

    shard-00000.npy      [n x num_tokens x width]  float16, hidden states of the chosen layer (memory-mapped when read)
    embeds-00000.npy     [n x projection]          float32, CLIP's pooled image embeddings, unit length
    shard-00000.parquet  key of each row: hash of image content, tower, layer and preprocessing

`index.parquet` maps image_id to shard and row. A run that was killed, or that finds more images than before, computes
only the keys that no shard holds.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from components.errors import UserError
from components.files import atomic_path

SHARD_SIZE = 2048


@dataclass(frozen=True)
class Shard:
    """A piece of work: the images (ids and keys) whose features become shard `number`."""

    number: int
    image_ids: list[str]
    keys: list[str]


def feature_keys(images: pd.DataFrame, encoder_id: str) -> list[str]:
    """One key an image, from its content and whatever else decides its features (`encoder_id`)."""
    return [hashlib.sha256(f"{digest}:{encoder_id}".encode()).hexdigest()[:32] for digest in images["sha256"]]


def plan_shards(
    folder: str | Path, images: pd.DataFrame, encoder_id: str, shard_size: int = SHARD_SIZE
) -> list[Shard]:
    """The shards still to be computed so that `folder` holds every image of `images`.

    Pictures of equal content are computed once. Numbers go on after those already there.
    """
    known = _known_keys(Path(folder))
    frame = pd.DataFrame({"image_id": images["image_id"], "key": feature_keys(images, encoder_id)})
    missing = frame[~frame["key"].isin(known["key"])].drop_duplicates("key")
    start = 0 if known.empty else int(known["shard"].max()) + 1
    pieces = [missing.iloc[i : i + shard_size] for i in range(0, len(missing), shard_size)]
    return [Shard(start + i, list(p["image_id"]), list(p["key"])) for i, p in enumerate(pieces)]


def write_shard(folder: str | Path, shard: Shard, features: Tensor, embeds: Tensor) -> None:
    """Store [n x num_tokens x width] `features` and [n x projection] `embeds`; the key table comes last, as the seal."""
    folder = Path(folder)
    with atomic_path(folder / f"shard-{shard.number:05d}.npy") as path, path.open("wb") as file:
        np.save(file, features.to(torch.float16).numpy())
    with atomic_path(folder / f"embeds-{shard.number:05d}.npy") as path, path.open("wb") as file:
        np.save(file, embeds.float().numpy())
    with atomic_path(folder / f"shard-{shard.number:05d}.parquet") as path:
        pd.DataFrame({"key": shard.keys}).to_parquet(path)


def seal(folder: str | Path, images: pd.DataFrame, encoder_id: str) -> None:
    """Write `index.parquet` for `images` and remove the shards that none of them needs."""
    folder = Path(folder)
    known = _known_keys(folder).drop_duplicates("key")
    frame = pd.DataFrame({"image_id": images["image_id"], "key": feature_keys(images, encoder_id)})
    index = frame.merge(known, on="key", how="left", validate="many_to_one")
    if index["shard"].isna().any():
        raise UserError(
            f"{folder}: features of {int(index['shard'].isna().sum())} images are missing. Run the stage again."
        )
    index = index.astype({"shard": int, "row": int})
    with atomic_path(folder / "index.parquet") as path:
        index.to_parquet(path)
    for number in set(known["shard"]) - set(index["shard"]):
        for path in folder.glob(f"*-{number:05d}.*"):
            path.unlink()
    identity = hashlib.sha256("".join(index["image_id"] + index["key"]).encode()).hexdigest()
    meta = {"encoder_id": encoder_id, "images": len(index), "identity": identity}
    with atomic_path(folder / "meta.json") as path:
        path.write_text(json.dumps(meta, indent=2) + "\n")


def _known_keys(folder: Path) -> pd.DataFrame:
    """Columns key, shard, row of everything that sealed shards hold."""
    frames = [pd.DataFrame({"key": [], "shard": [], "row": []})]
    for path in sorted(folder.glob("shard-*.parquet")):
        keys = pd.read_parquet(path)["key"]
        frames.append(pd.DataFrame({"key": keys, "shard": int(path.stem[-5:]), "row": range(len(keys))}))
    return pd.concat(frames[1:] or frames, ignore_index=True)


class FeatureStore:
    """Reads a store; nothing is copied but the rows asked for."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        try:
            index = pd.read_parquet(self.folder / "index.parquet").set_index("image_id")
        except FileNotFoundError:
            raise UserError(f"{folder}: no feature store. Run `dvc repro features` first.") from None
        self._index = index
        self.identity: str = json.loads((self.folder / "meta.json").read_text())["identity"]
        self._shards = {number: self._open("shard", number) for number in index["shard"].unique()}
        self._embeds = {number: self._open("embeds", number) for number in index["shard"].unique()}

    def _open(self, kind: str, number: int) -> np.ndarray:
        path = self.folder / f"{kind}-{number:05d}.npy"
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: unreadable ({error}). Delete the folder and run `dvc repro features`."
            ) from None

    def vision_features(self, image_ids: list[str]) -> Tensor:
        """[n x num_tokens x width], float32."""
        return self._take(self._shards, image_ids)

    def image_embeds(self, image_ids: list[str]) -> Tensor:
        """[n x projection], float32, unit length."""
        return self._take(self._embeds, image_ids)

    def _take(self, arrays: dict[int, np.ndarray], image_ids: list[str]) -> Tensor:
        try:
            where = self._index.loc[image_ids]
        except KeyError as error:
            raise UserError(
                f"{self.folder}: no features of {error.args[0]}. Run `dvc repro features`."
            ) from None
        shards, rows = where["shard"].to_numpy(), where["row"].to_numpy()
        out = torch.empty((len(image_ids), *next(iter(arrays.values())).shape[1:]))
        for number in np.unique(shards):
            here = np.flatnonzero(shards == number)
            out[torch.from_numpy(here)] = torch.from_numpy(arrays[number][rows[here]].astype(np.float32))
        return out
