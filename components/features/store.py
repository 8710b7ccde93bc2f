"""The feature store: what the frozen vision tower says of every image, computed once.

On disk, a folder of shards, each complete in itself; a clip has a row a frame, a picture one row:

    shard-00000.npy      [rows x num_tokens x width]  float16, hidden states of the chosen layer
    embeds-00000.npy     [rows x projection]  float32, CLIP's pooled image embeddings, unit length
    shard-00000.parquet  key and number of frames of each image: the key is a hash of image content, tower,
                         layer, preprocessing and augmented view

`index.parquet` maps image_id and view to shard and row. A run that was killed, or that finds more images
than before, computes only the keys that no shard holds.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from components.errors import UserError
from components.features.residence import Residence, choose_residence
from components.features.rows import DiskRows, HeldRows, Rows
from components.files import atomic_path

SHARD_SIZE = 2048  # rows


class Features(Protocol):
    """What training, evaluation and the report know of the images: kept, or computed when asked for."""

    identity: str
    """Hash of all that decides the features: pictures, tower, layer, preprocessing, views."""

    residence: Residence
    """Where batches come from."""

    def batch(self, image_ids: list[str], views: list[int] | None = None) -> dict[str, Tensor]:
        """The model's own arguments: `vision_features` [b x F x num_tokens x width], float16 (the model
        casts them, on its device), and, where clips of the batch differ in length, `frame_mask` [b x F].
        `views` names an augmented view of each image; 0 is the image.
        """

    def image_embeds(self, image_ids: list[str]) -> Tensor:
        """[b x projection], float32, unit length; of a clip, of the mean over its frames (Luo et al.
        2021).
        """


@dataclass(frozen=True)
class Shard:
    """A piece of work: the images (and which view of each) whose features become shard `number`."""

    number: int
    image_ids: list[str]
    keys: list[str]
    views: list[int]
    num_frames: list[int]


def feature_table(images: pd.DataFrame, encoder_id: str, views: int = 1) -> pd.DataFrame:
    """image_id, view, key, num_frames: a row an image, training images with `views` of them, the first the
    image itself.

    The key is made of the picture's content and whatever else decides its features (`encoder_id`, view).
    """
    frame = images[["image_id", "sha256", "split"]].assign(num_frames=images.get("num_frames", 1))
    count = np.where(frame["split"] == "train", views, 1)
    frame = frame.loc[frame.index.repeat(count)]
    frame["view"] = frame.groupby("image_id", sort=False).cumcount()
    parts = zip(frame["sha256"].tolist(), frame["view"].tolist(), strict=True)
    frame["key"] = [_key(f"{digest}:{encoder_id}" + (f":view {v}" if v else "")) for digest, v in parts]
    return frame[["image_id", "view", "key", "num_frames"]].reset_index(drop=True)


def identity_of(table: pd.DataFrame) -> str:
    """One hash of a whole `feature_table`."""
    return hashlib.sha256("".join(table["image_id"] + table["key"]).encode()).hexdigest()


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plan_shards(
    folder: str | Path, images: pd.DataFrame, encoder_id: str, shard_size: int = SHARD_SIZE, views: int = 1
) -> list[Shard]:
    """The shards, of about `shard_size` rows, still to be computed so that `folder` holds every image of
    `images`.

    Pictures of equal content are computed once. Numbers go on after those already there.
    """
    known = _known_keys(Path(folder))
    table = feature_table(images, encoder_id, views)
    missing = table[~table["key"].isin(known["key"])].drop_duplicates("key")
    before = missing["num_frames"].cumsum() - missing["num_frames"]
    start = 0 if known.empty else int(known["shard"].max()) + 1
    return [
        Shard(start + i, *(list(part[name]) for name in ("image_id", "key", "view", "num_frames")))
        for i, (_, part) in enumerate(missing.groupby(before // shard_size))
    ]


def write_shard(folder: str | Path, shard: Shard, features: Tensor, embeds: Tensor) -> None:
    """Store [rows x num_tokens x width] `features` and [rows x projection] `embeds`; the key table comes
    last, as the seal.

    Raises:
        ValueError: not a row a frame.
    """
    if not len(features) == len(embeds) == sum(shard.num_frames):
        raise ValueError(f"shard {shard.number}: {len(features)} rows for {sum(shard.num_frames)} frames")
    folder = Path(folder)
    with atomic_path(folder / f"shard-{shard.number:05d}.npy") as path, path.open("wb") as file:
        np.save(file, features.to(torch.float16).numpy())
    with atomic_path(folder / f"embeds-{shard.number:05d}.npy") as path, path.open("wb") as file:
        np.save(file, embeds.float().numpy())
    with atomic_path(folder / f"shard-{shard.number:05d}.parquet") as path:
        pd.DataFrame({"key": shard.keys, "num_frames": shard.num_frames}).to_parquet(path)


def seal(folder: str | Path, images: pd.DataFrame, encoder_id: str, views: int = 1) -> None:
    """Write `index.parquet` for `images` and remove the shards that none of them needs.

    Raises:
        UserError: features are missing.
    """
    folder = Path(folder)
    known = _known_keys(folder).drop_duplicates("key")
    table = feature_table(images, encoder_id, views)
    index = table.merge(known, on="key", how="left", validate="many_to_one")
    if index["shard"].isna().any():
        missing = int(index["shard"].isna().sum())
        raise UserError(f"{folder}: features of {missing} images are missing. Run the stage again.")
    index = index.astype({"shard": int, "row": int})
    with atomic_path(folder / "index.parquet") as path:
        index.to_parquet(path)
    for number in set(known["shard"]) - set(index["shard"]):
        for path in folder.glob(f"*-{number:05d}.*"):
            path.unlink()
    write_meta(folder, {"encoder_id": encoder_id, "images": len(images), "identity": identity_of(index)})


def write_meta(folder: str | Path, meta: dict[str, str | int]) -> None:
    """What the store is of."""
    with atomic_path(Path(folder) / "meta.json") as path:
        path.write_text(json.dumps(meta, indent=2) + "\n")


def _known_keys(folder: Path) -> pd.DataFrame:
    """Columns key, shard, row (the first) of everything that sealed shards hold."""
    frames = [pd.DataFrame({"key": [], "shard": [], "row": []})]
    for path in sorted(folder.glob("shard-*.parquet")):
        keys = pd.read_parquet(path)
        length = keys.get("num_frames", pd.Series(1, keys.index))
        row = length.cumsum() - length
        frames.append(pd.DataFrame({"key": keys["key"], "shard": int(path.stem[-5:]), "row": row}))
    return pd.concat(frames[1:] or frames, ignore_index=True)


class FeatureStore:
    """`Features` from a folder."""

    def __init__(self, folder: str | Path, resident: Literal["auto", "gpu", "host", "disk"] = "disk"):
        """Open `folder`.

        Args:
            resident: see `choose_residence`. Who reads most images once wants them on disk.

        Raises:
            UserError: no store there, a damaged one, or one too large for where it is to be.
        """
        self.folder = Path(folder)
        try:
            columns = ["image_id", "view", "shard", "row", "num_frames"]
            index = pd.read_parquet(self.folder / "index.parquet", columns=columns)
            self.identity: str = json.loads((self.folder / "meta.json").read_text())["identity"]
        except FileNotFoundError:
            raise UserError(f"{folder}: no feature store. Run `dvc repro features` first.") from None
        # The views of an image follow one another: its first row here, and the view counted from there.
        first = index.index[index["view"] == 0]
        self._first = dict(zip(index["image_id"][first].tolist(), first, strict=True))
        self._view, self._frames = index["view"].to_numpy(), index["num_frames"].to_numpy()
        self._shard, self._row = index["shard"].to_numpy(), index["row"].to_numpy()
        shards = np.unique(self._shard)
        disk, self._embeds = DiskRows(self.folder, "shard", shards), DiskRows(self.folder, "embeds", shards)
        self.residence = choose_residence(resident, disk.size)
        self._features: Rows = disk
        if self.residence.place in ("gpu", "host"):
            device = torch.device("cuda" if self.residence.place == "gpu" else "cpu")
            self._features = HeldRows(disk, device)

    def batch(self, image_ids: list[str], views: list[int] | None = None) -> dict[str, Tensor]:
        """See `Features`."""
        entries = self._entries(image_ids, views)
        return pad_frames(self._take(self._features, entries), self._frames[entries])

    def image_embeds(self, image_ids: list[str]) -> Tensor:
        """See `Features`."""
        entries = self._entries(image_ids)
        return mean_frames(self._take(self._embeds, entries), self._frames[entries])

    def _take(self, rows: Rows, entries: np.ndarray) -> Tensor:
        return rows.take(self._shard[entries], self._row[entries], self._frames[entries])

    def _entries(self, image_ids: list[str], views: list[int] | None = None) -> np.ndarray:
        """Rows of the index [b].

        Raises:
            UserError: an image or view that the store has not.
        """
        try:
            first = np.array([self._first[image_id] for image_id in image_ids])
        except KeyError as error:
            raise UserError(f"{self.folder}: no features of {error}. Run `dvc repro features`.") from None
        if views is None:
            return first
        entries = first + np.array(views)
        known = self._view.take(entries, mode="clip") == views  # of another image's, or of none, it differs
        if not known.all():
            wrong = int(known.argmin())
            raise UserError(
                f"{self.folder}: no view {views[wrong]} of {image_ids[wrong]!r}. Run `dvc repro features`."
            )
        return entries


def pad_frames(flat: Tensor, lengths: np.ndarray) -> dict[str, Tensor]:
    """Frames one after the other [frames x num_tokens x width] -> the clips, as `Features.batch` has them."""
    mask = torch.arange(int(lengths.max())) < torch.from_numpy(lengths)[:, None]
    if mask.all():
        return {"vision_features": flat.unflatten(0, tuple(mask.shape))}
    padded = flat.new_zeros(*mask.shape, *flat.shape[1:])
    padded[mask] = flat
    return {"vision_features": padded, "frame_mask": mask}


def mean_frames(flat: Tensor, lengths: np.ndarray) -> Tensor:
    """Unit embeddings of frames [frames x projection] -> of clips [b x projection]."""
    if (lengths == 1).all():
        return flat
    means = [clip.mean(dim=0) for clip in flat.split(lengths.tolist())]
    return torch.nn.functional.normalize(torch.stack(means), dim=-1)
