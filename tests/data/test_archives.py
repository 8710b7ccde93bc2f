"""A zip of pictures, or of all there is, is read as a folder; lists of names are splits."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from components.data.tables import Tables
from components.errors import UserError
from tests.data.test_formats import CAPTIONS, NAMES, draw, lines, numbered, png, read, told, validation

TABLE = "image,caption\n" + numbered('{0},"{2}"')


def pack(archive: Path, inside: str, compression: int = zipfile.ZIP_STORED, table: str = "") -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", compression) as opened:
        for name in NAMES:
            opened.writestr(f"{inside}{name}", png(int(name[:2])))
            opened.writestr(f"__MACOSX/{inside}._{name}", b"of a Mac")
        if table:
            opened.writestr("set/captions.csv", table)


def is_whole(tables: Tables) -> bool:
    """The captions, and the pictures' own bytes in shards; nothing that was unpacked is left."""
    [place] = tables.slices(tables.images["image_id"][0])
    assert place.read() == png(0) and place.file.suffix == ".tar"
    assert not (tables.folder / "scratch").exists()
    return told(tables) == CAPTIONS


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("images", [None, "photos.zip"])
@pytest.mark.parametrize("copy", [True, False])
def test_a_zip_of_pictures(tmp_path: Path, compression: int, images: str | None, copy: bool) -> None:
    folder = tmp_path / "data"
    pack(folder / "photos.zip", "photos/", compression)
    (folder / "captions.csv").write_text(TABLE)
    assert is_whole(read(folder, None, "auto", images=images, copy=copy))


def test_a_zip_of_everything(tmp_path: Path) -> None:
    pack(tmp_path / "data" / "all.zip", "set/images/", table=TABLE)
    assert is_whole(read(tmp_path / "data", None, "auto"))
    assert 'data.annotations: "unpacked: all/set/captions.csv"' in validation(tmp_path / "data")["notes"][0]


def test_a_zipped_table_beside_its_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "data" / "images")
    with zipfile.ZipFile(tmp_path / "data" / "captions.csv.zip", "w") as opened:
        opened.writestr("captions.csv", TABLE)
    assert is_whole(read(tmp_path / "data", None, "auto"))


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    pack(tmp_path / "data" / "photos.zip", "")
    whole = (tmp_path / "data" / "photos.zip").read_bytes()
    (tmp_path / "data" / "captions.csv").write_text(TABLE)
    for damaged in (whole[: len(whole) // 2], whole.replace(png(3)[100:120], bytes(20))):
        (tmp_path / "data" / "photos.zip").write_bytes(damaged)
        with pytest.raises(UserError, match="photos.zip.*: cannot be unpacked: "):
            read(tmp_path / "data", None, "auto")
    assert not (tmp_path / "prepared").exists()


LISTS = {
    "Flickr_8k.trainImages.txt Flickr_8k.devImages.txt Flickr_8k.testImages.txt": "{}.png",
    "train.txt val.txt test.txt": "{}",
}


@pytest.mark.parametrize(("files", "form"), LISTS.items())
@pytest.mark.parametrize("annotations", [None, "Flickr8k.token.txt"])
def test_lists_of_names_are_splits(tmp_path: Path, files: str, form: str, annotations: str | None) -> None:
    """As the lists of Flickr8k, they leave pictures out."""
    folder = tmp_path / "data"
    draw(folder / "Images")
    (folder / "Flickr8k.token.txt").write_text(numbered("{0}#{1}\t{2}"))
    (folder / "readme.txt").write_text("What this is.\n")
    for number, file in enumerate(files.split()):
        several = NAMES[number:11:3]
        (folder / file).write_text(lines(*(form.format(name[:2]) for name in several)))
    tables = read(folder, annotations, "auto")
    assert told(tables) == {name: CAPTIONS[name] for name in NAMES[:11]}
    assert tables.images["split"].tolist() == [("train", "val", "test")[n % 3] for n in range(11)]
    assert validation(folder)["left_out"] == {"in_no_split_list": 2}


def test_lists_know_pictures_inside_a_table_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    images = [{"bytes": png(int(name[:2])), "path": f"photos/{name}"} for name in NAMES]
    frame = pd.DataFrame({"image": images, "caption": CAPTIONS.values()})
    frame.to_parquet(tmp_path / "data" / "c.parquet")
    for number, split in enumerate(("train", "val", "test")):
        (tmp_path / "data" / f"{split}.txt").write_text(lines(*NAMES[number::3]))
    tables = read(tmp_path / "data", None, "auto")
    assert tables.images["split"].tolist() == [("train", "val", "test")[n % 3] for n in range(12)]


def test_lists_that_cannot_be_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    draw(folder / "Images")
    (folder / "captions.csv").write_text(TABLE)
    (folder / "a.txt").write_text(lines(*NAMES))
    (folder / "b.txt").write_text(lines("x.png"))
    (folder / "c.txt").write_text(lines("00"))
    with pytest.raises(UserError, match="c.txt: 00 is in the list of train, too"):
        read(folder, "captions.csv", split_lists={"train": "a.txt", "val": "c.txt"})
    with pytest.raises(UserError, match="data.split_lists: .*b.txt: no picture of the table is in them"):
        read(folder, "captions.csv", split_lists={"train": "b.txt"})
