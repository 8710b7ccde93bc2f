"""The canonical form of a data set: three Parquet tables, and shards of pictures unless these stay in place.

    images.parquet     image_id, file_name (as its source calls it), split, width, height, sha256, ...
    frames.parquet     image_id, file (from this folder), offset, size: the bytes of a picture, or of a frame
                       of a clip, a row each
    captions.parquet   caption_id, image_id, caption; several rows an image
    images-00000.tar   pictures (`components.data.shards`)
    LICENCE            whose the data are and what may be done with them, if anybody said so

Further columns of an image are optional. Four say how it looks (`components.data.looks`): phash, which near
twins share but for a few bits, brightness, contrast and sharpness. Evaluation reads two that say what is true
of a picture:

    objects            what is in it: a list of lists, each the name of an object and its synonyms;
                       missing where nobody knows, empty where there is nothing
    scene              of the embedded data set: all facts, as JSON (`components.data.scenes.facts`)

Every source ends in this form and nothing downstream knows where the data came from.
"""

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from components.data.pictures import Problem, load_rgb
from components.data.shards import Slice
from components.errors import UserError
from components.files import atomic_path

LICENCE = "LICENCE"
SPLITS = ("train", "val", "test")
IMAGE_COLUMNS = ["image_id", "file_name", "split", "width", "height", "sha256"]
FRAME_COLUMNS = ["image_id", "file", "offset", "size"]
CAPTION_COLUMNS = ["caption_id", "image_id", "caption"]


@dataclass(frozen=True)
class Tables:
    """A data set, or a part of one: what `folder` holds, as data frames. `frames` may be those of a larger
    one, and is empty where no picture is opened."""

    images: pd.DataFrame
    captions: pd.DataFrame
    folder: Path
    frames: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=FRAME_COLUMNS))

    @property
    def licence(self) -> str:
        """Whose the data are and what may be done with them; '' if nobody said so."""
        path = self.folder / LICENCE
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def split(self, name: str) -> "Tables":
        """The images of one split with their captions.

        Raises:
            UserError: the split is empty, or none of train, val, test.
        """
        if name not in SPLITS:
            raise UserError(f"no such split: {name!r}. The splits are {', '.join(SPLITS)}.")
        images = self.images[self.images["split"] == name]
        if images.empty:
            raise UserError(f"{self.folder / 'images.parquet'}: no image in the split '{name}'.")
        captions = of_images(self.captions, images)
        return replace(self, images=images.reset_index(drop=True), captions=captions.reset_index(drop=True))

    def sample(self, count: int, seed: int) -> "Tables":
        """`count` images at random (all if there are fewer), in the table's order, with their captions."""
        images = self.images.sample(min(count, len(self.images)), random_state=seed).sort_index()
        captions = of_images(self.captions, images)
        return replace(self, images=images.reset_index(drop=True), captions=captions.reset_index(drop=True))

    def references(self) -> dict[str, list[str]]:
        """image_id -> its captions, images and captions in the order of the tables."""
        found: dict[str, list[str]] = {image_id: [] for image_id in self.images["image_id"].tolist()}
        captions = (self.captions[name].tolist() for name in ("image_id", "caption"))
        for image_id, caption in zip(*captions, strict=True):
            if image_id in found:
                found[image_id].append(caption)
        return found

    def slices(self, image_id: str) -> list[Slice]:
        """Where the frames of a clip lie, in their order, or the one picture.

        Raises:
            UserError: no such image_id.
        """
        try:
            clip = self._clips[image_id]
        except KeyError:
            path = self.folder / "frames.parquet"
            raise UserError(f"{path}: no image with image_id {image_id!r}.") from None
        frames = self.frames.iloc[self._starts[clip] : self._starts[clip + 1]]
        return [
            Slice(self.folder / file, int(offset), int(size))
            for file, offset, size in zip(frames["file"], frames["offset"], frames["size"], strict=True)
        ]

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where in `frames` the rows of each image begin, which stand together; and where the last ends."""
        ids = self.frames["image_id"].to_numpy()
        return np.flatnonzero(np.r_[True, ids[1:] != ids[:-1], True]) if len(ids) else np.zeros(1, dtype=int)

    @cached_property
    def _clips(self) -> dict[str, int]:
        """image_id -> its number in `_starts`."""
        ids = self.frames["image_id"].iloc[self._starts[:-1]].tolist()
        return dict(zip(ids, range(len(ids)), strict=True))

    @cached_property
    def digests(self) -> dict[str, str]:
        """image_id -> hash of the picture's content."""
        columns = (self.images[name].tolist() for name in ("image_id", "sha256"))
        return dict(zip(*columns, strict=True))

    @property
    def longest(self) -> int:
        """Frames of the longest clip; 1 for pictures."""
        return int(self.images["num_frames"].max()) if "num_frames" in self.images else 1

    def open_image(self, image_id: str) -> Image.Image:
        """One picture, completely decoded, as RGB; of a clip, the frame in its middle.

        Raises:
            UserError: no such image_id, or the file is missing or damaged; names the image and the file.
        """
        frames = self.slices(image_id)
        return self._open(image_id, frames[len(frames) // 2])

    def open_frames(self, image_id: str) -> list[Image.Image]:
        """The frames of a clip in their order, or the one picture, as `open_image`."""
        return [self._open(image_id, place) for place in self.slices(image_id)]

    def _open(self, image_id: str, place: Slice) -> Image.Image:
        try:
            return load_rgb(place)
        except Problem as problem:
            raise UserError(
                f"{place.file}: image {image_id!r}: {problem.detail}. Restore it, or `dvc repro -f prepare`."
            ) from None


def write_tables(tables: Tables) -> None:
    """Write the tables into their folder, each file whole or not at all."""
    for name in ("images", "frames", "captions"):
        with atomic_path(tables.folder / f"{name}.parquet") as path:
            getattr(tables, name).to_parquet(path, index=False)


def read_tables(folder: str | Path) -> Tables:
    """Read what `write_tables` wrote.

    Raises:
        UserError: a table is missing, is not Parquet, or lacks a column.
    """
    folder = Path(folder)
    images = _read(folder / "images.parquet", IMAGE_COLUMNS)
    captions = _read(folder / "captions.parquet", CAPTION_COLUMNS)
    return Tables(images, captions, folder, _read(folder / "frames.parquet", FRAME_COLUMNS))


def of_images(table: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """The rows of `table` that belong to `images`."""
    return table[among(table["image_id"], images["image_id"])]


def among(values: pd.Series, known: pd.Series | pd.Index) -> np.ndarray:
    """Which of `values` are `known`: texts both, of which Arrow looks up ten times as many as pandas does."""
    texts, value_set = (pa.array(each, pa.large_string()) for each in (values, known))
    found = pc.is_in(texts, value_set=value_set, skip_nulls=True)
    return found.to_numpy(zero_copy_only=False)


def table_digest(table: pd.DataFrame) -> str:
    """Hash of a table's rows in their order, whatever its file looks like; values count as text."""
    rows = pd.util.hash_pandas_object(table.astype(str), index=False)
    return hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Make it with `dvc repro prepare`.") from None
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not readable Parquet ({reason}). Make it anew: `dvc repro -f prepare`."
        ) from None
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}. Make it anew: `dvc repro -f prepare`.")
    return frame
