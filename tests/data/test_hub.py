"""What the library `datasets` loads: a folder that it saved, an ImageFolder, a name on the hub."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from components.errors import UserError
from tests.data.test_formats import CAPTIONS, NAMES, draw, png, read, split_folders, told

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def made(names: list[str]) -> "datasets.Dataset":
    """A data set with pictures inside."""
    columns = {
        "Image": [{"bytes": png(int(name[:2])), "path": name} for name in names],
        "captions": [CAPTIONS[name] for name in names],
    }
    return datasets.Dataset.from_dict(columns).cast_column("Image", datasets.Image())


def by_split() -> "datasets.DatasetDict":
    parts = zip(("train", "validation", "test"), (NAMES[:4], NAMES[4:8], NAMES[8:]), strict=True)
    return datasets.DatasetDict({split: made(names) for split, names in parts})


@pytest.mark.parametrize("source", ["datasets", "table", "auto"])
def test_what_it_saved_is_read_with_and_without_it(tmp_path: Path, source: str) -> None:
    by_split().save_to_disk(tmp_path / "data" / "saved")
    tables = read(tmp_path / "data", "saved" if source != "auto" else None, source)
    assert sorted(told(tables).values()) == sorted(CAPTIONS.values())
    assert tables.images["split"].value_counts().to_dict() == {"train": 4, "val": 4, "test": 4}
    [place] = tables.slices(tables.images["image_id"][0])
    assert place.read() == png(0), "bytes as they were"


def test_an_image_folder(tmp_path: Path) -> None:
    split_folders(tmp_path / "data", ("train", "validation", "test"))
    assert told(read(tmp_path / "data", ".", "datasets")) == CAPTIONS


def test_a_name_on_the_hub_with_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        datasets,
        "load_dataset",
        lambda *names, **options: asked.append(names) or datasets.DatasetDict(train=made(NAMES)),
    )
    draw(tmp_path / "data")
    tables = read(tmp_path / "data", "someone/captions:small", "datasets")
    assert asked == [("someone/captions", "small")]
    assert set(tables.images["split"]) == {"train", "val", "test"}, "train alone is no split"


def test_what_it_cannot_load_is_told(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    with pytest.raises(UserError, match="data.annotations: no/such: neither a folder in .*data nor"):
        read(tmp_path / "data", "no/such", "datasets")


def in_parquet(folder: Path) -> None:
    folder.mkdir()
    for split, part in by_split().items():
        part.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def in_tar(folder: Path) -> None:
    """Shards of webdataset."""
    for split, names in (("train", NAMES[:4]), ("validation", NAMES[4:8]), ("test", NAMES[8:])):
        folder.mkdir(exist_ok=True)
        with tarfile.open(folder / f"{split}-000.tar", "w") as archive:
            for name in names:
                caption = json.dumps({"caption": CAPTIONS[name]}).encode()
                for ending, data in (("png", png(int(name[:2]))), ("json", caption)):
                    member = tarfile.TarInfo(f"{name[:2]}.{ending}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))


def in_image_folders(folder: Path) -> None:
    split_folders(folder, ("train", "validation", "test"))


@pytest.mark.parametrize("write", [in_parquet, in_tar, in_image_folders])
def test_streaming_reads_the_same_and_keeps_no_copy(tmp_path: Path, write) -> None:
    write(tmp_path / "data")
    tables = read(tmp_path / "data", ".", "datasets", streaming=True)
    assert sorted(told(tables).values()) == sorted(CAPTIONS.values())
    assert tables.images["split"].value_counts().to_dict() == {"train": 4, "val": 4, "test": 4}
    assert not list((tmp_path / "cache").rglob("*.arrow"))
    assert len(read(tmp_path / "data", ".", "datasets", streaming=True, limit=2).images) == 6
