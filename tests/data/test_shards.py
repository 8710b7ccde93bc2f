"""Pictures as slices of files: shards of ours, read by others; and pictures that stay where they are."""

import io
import tarfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from components.data import shards
from components.data.shards import ShardWriter, Slice
from components.data.tables import Tables, read_tables
from tests.parameters import prepare


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine pictures in a folder of their own, the last one twice, and a table of captions."""
    (tmp_path / "photos").mkdir()
    rows = []
    for number in range(9):
        name, split = f"{number}.{'jpg' if number % 2 else 'PNG'}", ("train", "val", "test")[number % 3]
        Image.new("RGB", (40, 30), (25 * number, 90, 10)).save(tmp_path / "photos" / name)
        rows.append({"image": name, "caption": f"picture {'abcdefghi'[number]}", "split": split})
    pd.DataFrame(rows).to_csv(tmp_path / "captions.csv", index=False)
    return tmp_path


def prepared(folder: Path, out: str, **options: object) -> Tables:
    options |= {"annotations": str(folder / "captions.csv"), "images": str(folder / "photos")}
    prepare(folder / out, source="table", **options)
    return read_tables(folder / out)


def test_shards_are_tar_files_whose_members_are_the_bytes_of_the_pictures(folder: Path) -> None:
    tables = prepared(folder, "one")
    with tarfile.open(folder / "one" / "images-00000.tar") as tar:
        names = tar.getnames()
        members = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    assert names == [f"{n:09d}.{'jpg' if n % 2 else 'png'}" for n in range(9)]
    for name, image in zip(names, tables.images.itertuples(), strict=True):
        [place] = tables.slices(image.image_id)
        raw = (folder / "photos" / image.file_name).read_bytes()
        assert place.read() == members[name] == raw
        assert tables.open_image(image.image_id).size == (40, 30)
    assert {path.name for path in (folder / "one").iterdir()} == {
        "images.parquet", "frames.parquet", "captions.parquet", "images-00000.tar",
        "card.md", "contact_sheet.png",
    }  # fmt: skip


def test_equal_data_give_equal_shards(folder: Path) -> None:
    prepared(folder, "one")
    prepared(folder, "two")
    for name in ("images-00000.tar", "frames.parquet"):
        assert (folder / "one" / name).read_bytes() == (folder / "two" / name).read_bytes()


def test_pictures_may_stay_where_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, kept = prepared(folder, "one"), prepared(folder, "two", copy=False)
    assert not list((folder / "two").glob("*.tar"))
    assert [kept.slices(i)[0].read() for i in kept.images["image_id"]] == [
        copied.slices(i)[0].read() for i in copied.images["image_id"]
    ]
    monkeypatch.chdir(folder)  # and named as seen from the data set, where data.folder is below the project
    prepare(
        Path("data/prepared"),
        source="table",
        folder=".",
        copy=False,
        annotations="captions.csv",
        images="photos",
    )
    frames = read_tables("data/prepared").frames
    assert frames["file"][0] == "../../photos/0.PNG"
    assert read_tables("data/prepared").open_image(frames["image_id"][0]).size == (40, 30)


def test_a_shard_that_is_full_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SHARD_SIZE", 3000)
    with ShardWriter(tmp_path) as writer:
        places = [writer.add([(bytes([n]) * (n + 1), ".bin"), (b"second", ".bin")]) for n in range(5)]
    assert len({place.file for pair in places for place in pair}) == 3
    for number, (first, second) in enumerate(places):
        assert first.read() == bytes([number]) * (number + 1) and second.read() == b"second"
    with tarfile.open(tmp_path / "images-00000.tar") as tar:
        assert tar.getnames()[:2] == ["000000000.000.bin", "000000000.001.bin"]


def test_a_slice_without_a_size_goes_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    assert Slice(tmp_path / "file", 3).read() == b"3456789"
    assert io.BytesIO(Slice(tmp_path / "file", 3, 2).read()).getvalue() == b"34"


def test_a_data_set_in_a_relative_folder_is_found_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the stage writes it: data/prepared, below the project."""
    monkeypatch.chdir(folder)
    prepare(Path("data/prepared"), source="table", folder=".", annotations="captions.csv", images="photos")
    tables = read_tables("data/prepared")
    assert set(tables.frames["file"]) == {"images-00000.tar"}
    assert tables.open_image(tables.images["image_id"][0]).size == (40, 30)
