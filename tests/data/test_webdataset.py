"""Tar shards as others write them, read where they lie."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from components.data.tables import Tables
from components.errors import UserError
from tests.data.test_sources import write_clip
from tests.parameters import prepare

COLOURS = ["red", "green", "blue", "teal", "gold", "navy", "pink", "gray", "tan"]


def picture(colour: str) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, "PNG")
    return data.getvalue()


def write_tar(file: Path, members: dict[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """raw/, with two shards of two colours for each split; all shards number their examples from 0."""
    for number, colour in enumerate(COLOURS[:8]):
        split, shard = ("train", "train", "val", "test")[number % 4], number // 4 + number % 4 % 2
        members = {
            "0.png": picture(colour),
            "0.txt": f"all {colour}\n\n{colour} only\n".encode(),
            "0.cls": b"3",
        }
        write_tar(tmp_path / "raw" / split / f"{shard:05d}.tar", members)
    return tmp_path / "raw"


def read(folder: Path, out: str = "out", **data) -> Tables:
    given = {"source": "webdataset", "annotations": {s: s for s in ("train", "val", "test")}} | data
    return prepare(folder.parent / out, folder=str(folder), **given)


def test_pictures_stay_in_the_shards_of_the_user(folder: Path) -> None:
    kept, copied = read(folder, copy=False), read(folder, "copied")
    assert not list(kept.folder.glob("*.tar")) and list(copied.folder.glob("*.tar"))
    assert list(kept.images["image_id"]) == list(copied.images["image_id"])
    for image in kept.images.itertuples():
        [place], [copy] = kept.slices(image.image_id), copied.slices(image.image_id)
        assert place.file.is_relative_to(folder) and place.read() == copy.read()
        colour = kept.open_image(image.image_id).getpixel((0, 0))
        first, second = kept.references()[image.image_id]
        assert colour == Image.new("RGB", (1, 1), first.split()[1]).getpixel((0, 0)) and second.endswith(
            " only"
        )
        assert image.image_id == f"{place.file.relative_to(folder).with_suffix('')}/0"
        assert image.image_id.startswith(image.split)


def test_auto_takes_the_shards_of_each_folder_for_its_split(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    found, named = read(folder, source="auto", annotations=None), read(folder, "named")
    assert set(found.images["image_id"]) == set(named.images["image_id"])
    told = capsys.readouterr().out
    assert "data.source: webdataset" in told
    assert told.count("shards: pictures from .png; captions from .txt; not read: .cls") == 2


def test_members_of_an_example_may_stand_apart_and_have_long_names(folder: Path) -> None:
    long = "ä" * 120
    members = {
        f"a/{long}.png": picture("tan"),
        "b.jpg": picture("snow"),
        "b.json": b'{"caption": null, "TEXT": "b"}',
    }
    write_tar(folder / "train" / "9.tar", members | {f"a/{long}.json": b'{"caption": ["x", "y"]}'})
    references = read(folder, copy=False).references()
    assert references[f"train/9/a/{long}"] == ["x", "y"] and references["train/9/b"] == ["b"]


def test_videos_are_sampled_and_pictures_beside_them_stay(folder: Path) -> None:
    write_clip(folder.parent / "clip.mp4", 20)
    clip = (folder.parent / "clip.mp4").read_bytes()
    write_tar(folder / "train" / "9.tar", {"a.mp4": clip, "a.txt": b"a clip"})
    tables = read(folder, copy=False)
    frames = tables.slices("train/9/a")
    assert len(frames) == 8 and {place.file.name for place in frames} == {"images-00000.tar"}
    assert tables.slices("train/00000/0")[0].file.name == "00000.tar"


def test_what_is_missing_or_damaged_is_named_by_shard_and_key(folder: Path) -> None:
    members = {
        "no-caption.png": picture("tan"),
        "no-picture.txt": b"nothing",
        "bad.jpg": b"no picture",
        "bad.txt": b"z",
    }
    write_tar(folder / "train" / "9.tar", members)
    with pytest.raises(UserError) as told:
        read(folder)
    for part in (
        "9.tar: no-caption: image-without-caption",
        "9.tar: no-picture: file-name-missing",
        "9.tar: bad: image-unreadable",
    ):
        assert part in str(told.value)


def test_shards_that_cannot_be_read_in_place_are_refused_with_a_remedy(folder: Path) -> None:
    shard = folder / "train" / "00000.tar"
    whole = shard.read_bytes()
    (folder / "train" / "8.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(UserError, match=r"8.tar.gz: a compressed archive.*plain .tar \(gzip -d\)"):
        read(folder, annotations="train/8.tar.gz")
    shard.write_bytes(whole[:700])
    with pytest.raises(UserError, match="00000.tar: cannot be read: unexpected end of data"):
        read(folder)
    with pytest.raises(UserError, match="empty: no .tar in this folder"):
        (folder / "empty").mkdir()
        read(folder, annotations="empty")
