"""Nearly the same picture in two splits, or twice in train; pictures with nothing to see: found and told."""

import json
from collections.abc import Sequence
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from components.data.looks import HASH_SIZE, glimpse_of, look_at, perceptual_hashes
from components.data.prepare.report import data_counts
from components.data.prepare.twins import RADIUS, connected, distances, near_pairs, twin_groups, unpacked
from components.data.tables import Tables
from components.errors import UserError
from tests.parameters import prepare

SPLITS = ("train", "train", "val", "test")


def photograph(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Noise that has the same energy in every octave, as photographs have on average (Field 1987)."""
    draw, pixels = np.random.default_rng(seed), np.zeros(size[::-1], dtype=np.float32)
    for octave in range(1, 7):
        noise = Image.fromarray(draw.normal(0, 25, (2**octave, 2**octave)).astype(np.float32))
        pixels += np.asarray(noise.resize(size, Image.Resampling.BICUBIC))
    return Image.fromarray((pixels + 128).clip(0, 255).astype(np.uint8)).convert("RGB")


class Album:
    """A folder of pictures with a table of captions and splits."""

    def __init__(self, folder: Path, number: int = 24):
        self.folder, self.rows = folder, []
        folder.mkdir()
        for seed in range(number):
            self.add(f"{seed}.jpg", photograph(seed), SPLITS[seed % 4])

    def add(self, name: str, picture: Image.Image, split: str | None, **options) -> None:
        picture.save(self.folder / name, **options)
        caption = f"picture number {len(self.rows)} of many"
        self.rows.append({"image": name, "caption": caption, "split": split})

    def prepare(self, **data) -> Tables:
        table = pd.DataFrame(self.rows).dropna(axis=1)
        table.to_csv(self.folder / "captions.csv", index=False)
        out = self.folder.with_name(f"{self.folder.name}-prepared")
        return prepare(out, source="table", annotations=str(self.folder / "captions.csv"), **data)

    def report(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-prepared-report")

    def reported(self) -> dict[str, int]:
        return json.loads((self.report() / "validation.json").read_text())["reported"]


@pytest.fixture
def leaky(tmp_path: Path) -> Album:
    """0.jpg of train is in test too, scaled down and saved anew; and 4.jpg a second time in train."""
    album = Album(tmp_path / "album")
    album.add("small.jpg", photograph(0).resize((100, 75)), "test", quality=60)
    album.add("again.png", photograph(4), "train")
    return album


def test_a_clean_set_gives_none(tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    album.prepare()
    assert album.reported() == {}


def test_a_scaled_copy_in_another_split_is_reported_beside_its_twin(leaky: Album) -> None:
    tables = leaky.prepare(on_invalid="fail")
    assert leaky.reported() == {"leak-by-near-twin": 1, "near-twin-in-train": 1}
    faults = pd.read_parquet(leaky.report() / "faults.parquet").set_index("fault")["value"]
    assert faults["leak-by-near-twin"].startswith("0.jpg in train, small.jpg in test: ")
    assert faults["near-twin-in-train"].startswith("again.png in train, 4.jpg in train: ")
    metrics = data_counts(leaky.report() / "validation.json")
    assert metrics["data/reported/leak-by-near-twin"] == 1
    page = (leaky.report() / "index.html").read_text()
    assert (
        page.partition('id="faults"')[2].count("<img ") == 4 and "0.jpg in train, small.jpg in test" in page
    )
    assert "twins" not in tables.images and tables.images["phash"].str.fullmatch("[0-9a-f]{64}").all()


def test_what_is_reported_on_stays_and_train_gives_way(leaky: Album) -> None:
    severity = {"leak-by-near-twin": "quarantine", "near-twin-in-train": "quarantine"}
    names = set(leaky.prepare(severity=severity).images["file_name"])
    assert names == {row["image"] for row in leaky.rows} - {"0.jpg", "again.png"}


def test_a_near_twin_can_be_made_fatal(leaky: Album) -> None:
    with pytest.raises(UserError, match="leak-by-near-twin: '0.jpg in train, small.jpg in test: "):
        leaky.prepare(severity={"leak-by-near-twin": "fail"})


def test_the_same_file_in_two_splits_is_told_once(tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    album.add("copy.jpg", photograph(0), "test")
    with pytest.raises(UserError) as error:
        album.prepare(on_invalid="fail")
    assert "leak-by-image" in str(error.value) and "near-twin" not in str(error.value)
    assert album.reported() == {}


def test_splits_by_hash_keep_twins_together(tmp_path: Path) -> None:
    album = Album(tmp_path / "album", number=0)
    for seed in range(60):
        album.add(f"{seed}.png", photograph(seed), None)
        album.add(f"{seed}-small.jpg", photograph(seed).resize((80, 60)), None)
    images = album.prepare(splits="hash", val_share=0.2, test_share=0.2).images
    parts = images.groupby(images["file_name"].str.extract(r"(\d+)", expand=False))["split"].nunique()
    assert len(parts) == 60 and (parts == 1).all()
    assert images["split"].value_counts().min() > 4 and "leak-by-near-twin" not in album.reported()


def test_frames_of_a_camera_that_stands_still_are_not_one_split(tmp_path: Path) -> None:
    album = Album(tmp_path / "album", number=0)
    for number in range(60):
        pixels = np.asarray(photograph(0)).copy()
        pixels[number, number] = 0
        album.add(f"{number}.png", Image.fromarray(pixels), None)
    images = album.prepare(splits="hash", val_share=0.2, test_share=0.2).images
    assert set(images["split"]) == {"train", "val", "test"} and album.reported()["leak-by-near-twin"] > 20


def test_pictures_with_nothing_to_see_are_reported(tmp_path: Path) -> None:
    album = Album(tmp_path / "album")
    album.add("dark.jpg", photograph(90).point(lambda value: value // 10), "train")
    album.add("blurred.jpg", photograph(91).filter(ImageFilter.GaussianBlur(5)), "val")
    album.add("white.jpg", Image.new("RGB", (90, 90), "white"), "train")
    album.add("also_white.png", Image.new("RGB", (80, 90), "white"), "test")
    album.add("panorama.jpg", photograph(92, (480, 120)), "train")
    album.prepare(on_invalid="fail")
    faults = pd.read_parquet(album.report() / "faults.parquet")
    assert set(zip(faults["fault"], faults["value"], strict=True)) == {
        ("image-dark", "dark.jpg"),
        ("image-blurred", "blurred.jpg"),
        ("image-almost-empty", "white.jpg"),
        ("image-almost-empty", "also_white.png"),
        ("image-odd-aspect", "panorama.jpg"),
    }


def hashes(number: int, seed: int = 0) -> np.ndarray:
    """Random hashes, among them clusters as near twins make them, and some at the radius exactly."""
    draw = np.random.default_rng(seed)
    bits = draw.integers(0, 2, (number, 256), dtype=np.uint8)
    for row in range(1, number // 2):
        bits[row] = bits[draw.integers(0, row)]
        bits[row, draw.permutation(256)[: draw.choice([2, 8, RADIUS, RADIUS + 1])]] ^= 1
    return np.packbits(bits, axis=1)


def test_pairs_are_those_of_brute_force() -> None:
    codes = hashes(600)
    found = {(min(pair), max(pair)) for some in near_pairs(codes) for pair in zip(*some, strict=True)}
    a, b = np.triu_indices(len(codes), 1)
    near = distances(codes[a], codes[b]) <= RADIUS
    assert found == set(zip(a[near], b[near], strict=True)) and len(found) > 300


def test_many_copies_of_one_picture_are_one_hash() -> None:
    codes = [row.tobytes().hex() for row in hashes(200)]
    images = pd.DataFrame({"phash": [*codes, *codes[:1] * 50_000], "contrast": 30.0})
    groups = twin_groups(images)
    assert (groups.iloc[200:] == groups.iloc[0]).all()
    expected = connected(200, near_pairs(unpacked(codes)))
    assert groups.iloc[1:200].fillna("").tolist() == [
        codes[first] if (expected == first).sum() > 1 else "" for first in expected[1:]
    ]


@pytest.mark.parametrize("change", ["jpeg", "half", "double", "brighter", "grey", "cut"])
def test_what_does_not_change_a_picture_hardly_changes_its_hash(change: str, tmp_path: Path) -> None:
    pictures = [photograph(seed, (320, 240)) for seed in range(20)]
    others = [changed(picture, change, tmp_path) for picture in pictures]
    codes, other_codes = (unpacked(hashes_of(some)) for some in (pictures, others))
    assert np.median(distances(codes, other_codes)) <= RADIUS
    a, b = np.triu_indices(len(codes), 1)
    assert distances(codes[a], codes[b]).min() > 2 * RADIUS


def hashes_of(pictures: Sequence[Image.Image]) -> list[str]:
    return [look.phash for look in look_at([glimpse_of(picture) for picture in pictures])]


def test_the_hash_is_that_of_imagehash() -> None:
    glimpses = [glimpse_of(photograph(seed, (320, 240))) for seed in range(20)]
    expected = [imagehash.phash(Image.fromarray(one.tiny), HASH_SIZE, highfreq_factor=2) for one in glimpses]
    assert perceptual_hashes(np.stack([one.tiny for one in glimpses])) == [str(one) for one in expected]


def test_a_picture_looks_the_same_among_any_others() -> None:
    pictures = [photograph(seed, (320, 240) if seed % 3 else (97, 200)) for seed in range(9)]
    together = look_at([glimpse_of(picture) for picture in pictures])
    assert together == [look_at([glimpse_of(picture)])[0] for picture in pictures]


def changed(picture: Image.Image, change: str, folder: Path) -> Image.Image:
    width, height = picture.size
    if change == "jpeg":
        picture.save(folder / "a.jpg", quality=40)
        return Image.open(folder / "a.jpg").convert("RGB")
    return {
        "half": lambda: picture.resize((width // 2, height // 2)),
        "double": lambda: picture.resize((2 * width, 2 * height)),
        "brighter": lambda: picture.point(lambda value: min(255, int(value * 1.15 + 5))),
        "grey": lambda: picture.convert("L").convert("RGB"),
        "cut": lambda: picture.crop((2, 2, width - 2, height - 2)),
    }[change]()
