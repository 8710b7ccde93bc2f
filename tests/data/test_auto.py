"""`data.source: auto` recognises what lies in the folder, and says what it took."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from components.data.sources import source_of
from components.data.sources.auto import recognise
from components.errors import UserError
from tests.data.test_formats import (
    CAPTIONS,
    NAMES,
    coco,
    draw,
    lines,
    numbered,
    read,
    save_to_disk,
    split_folders,
    told,
    validation,
)
from tests.data.test_sources import write_clip
from tests.parameters import tiny


def table(folder: Path) -> None:
    draw(folder / "Images")
    (folder / "captions.txt").write_text("image,caption\n" + numbered('{0},"{2}"'))
    shutil.copy(folder / "captions.txt", folder / "captions.csv")
    (folder / "readme.txt").write_text("What this is.\n")


def token(folder: Path) -> None:
    draw(folder / "Flicker8k_Dataset")
    (folder / "Flickr8k.token.txt").write_text(numbered("{0}#{1}\t{2}"))


def blip(folder: Path) -> None:
    draw(folder / "vg")
    (folder / "captions.json").write_text(
        json.dumps([{"image": n, "caption": c} for n, c in CAPTIONS.items()])
    )


def metadata(folder: Path) -> None:
    split_folders(folder, ("train", "valid", "test"))


def sidecars(folder: Path) -> None:
    draw(folder / "photos")
    for name, captions in CAPTIONS.items():
        (folder / "photos" / name).with_suffix(".txt").write_text(lines(*captions))


def karpathy(folder: Path) -> None:
    """Beside the files of COCO that it was made of."""
    images = [
        {"filename": n, "filepath": "val2017", "cocoid": int(n[:2]), "split": ("train", "val", "test")[i % 3]}
        | {"sentences": [{"raw": c} for c in CAPTIONS[n]]}
        for i, n in enumerate(NAMES)
    ]
    (folder / "annotations").mkdir(parents=True)
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))
    coco(folder, {"val": NAMES})


def splits_of_coco(folder: Path) -> None:
    coco(folder, {"train": NAMES[:4], "val": NAMES[4:8], "test": NAMES[8:]})
    (folder / "image_info_test2017.json").write_text('{"images": [{"id": 1}], "categories": []}')


def shards(folder: Path) -> None:
    for number in range(2):
        names = NAMES[number::2]
        draw(folder / f"0000{number}", names)
        frame = pd.DataFrame({"key": [n[:2] for n in names], "caption": [CAPTIONS[n] for n in names]})
        frame.assign(status="success", url="x").to_parquet(folder / f"0000{number}.parquet")
        (folder / f"0000{number}_stats.json").write_text("{}")
        for name in names:
            (folder / f"0000{number}" / name).with_suffix(".json").write_text("{}")


@pytest.mark.parametrize(
    ("write", "source", "annotations"),
    [
        (table, "table", "captions.csv"),
        (token, "table", "Flickr8k.token.txt"),
        (blip, "table", "captions.json"),
        (metadata, "table", "."),
        (sidecars, "table", "."),
        (karpathy, "karpathy", "dataset_coco.json"),
        (
            splits_of_coco,
            "coco",
            {split: f"captions_{split}2017.json" for split in ("test", "train", "val")},
        ),
        (shards, "table", ["00000.parquet", "00001.parquet"]),
    ],
)
def test_folders_as_they_are_distributed(tmp_path: Path, write, source: str, annotations) -> None:
    folder = tmp_path / "data"
    write(folder)
    assert recognise(folder)[:2] == (source, annotations)
    assert told(read(folder, None, "auto")) == CAPTIONS


def test_it_says_what_it_took_and_what_it_left(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = tmp_path / "data"
    splits_of_coco(folder)
    read(folder, None, "auto")
    out = capsys.readouterr().out
    assert "auto: data.source: coco, data.annotations: {" in out
    assert "auto: not read: image_info_test2017.json" in out
    assert f"pictures of train: found in {folder / 'train2017'}" in out
    assert validation(folder)["notes"][0].startswith("auto: data.source: coco")
    assert "# Data card: coco" in (tmp_path / "prepared" / "card.md").read_text()


def test_a_saved_data_set_is_recognised(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "data" / "captions_ds", NAMES)
    assert recognise(tmp_path / "data")[:2] == ("table", "captions_ds")
    assert len(read(tmp_path / "data", None, "auto").images) == 12


def test_the_file_that_is_given_decides(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    karpathy(folder)
    assert recognise(folder, "captions_val2017.json").source == "coco"
    assert recognise(folder, {"val": ["captions_val2017.json"]}).source == "coco"
    with pytest.raises(UserError, match="nothing.json: no such file"):
        recognise(folder, "nothing.json")


def test_a_choice_is_left_to_the_user(tmp_path: Path) -> None:
    draw(tmp_path / "pictures")
    for name in ("short", "long"):
        (tmp_path / f"{name}.csv").write_text(f"image,caption\n00.png,a {name} one\n")
    with pytest.raises(UserError, match="several tables: long.csv, short.csv. Say which: data.annotations"):
        recognise(tmp_path)


def test_a_folder_of_nothing_known_is_told_what_is_known(tmp_path: Path) -> None:
    draw(tmp_path / "pictures")
    with pytest.raises(UserError, match="no captions recognised. In it: pictures. Known are tables"):
        recognise(tmp_path)
    with pytest.raises(UserError, match="data.folder: .*nowhere: no such folder"):
        source_of(tiny(data={"source": "auto", "folder": str(tmp_path / "nowhere")}).data)


def test_the_json_of_msrvtt(tmp_path: Path) -> None:
    (tmp_path / "data" / "TrainValVideo").mkdir(parents=True)
    splits = ("train", "validate", "test")
    for number in range(3):
        write_clip(tmp_path / "data" / "TrainValVideo" / f"video{number}.mp4", 4 + number)
    videos = [{"video_id": f"video{n}", "split": split} for n, split in enumerate(splits)]
    sentences = [{"video_id": f"video{n}", "caption": f"clip {n}, {i}"} for n in range(3) for i in range(2)]
    content = {"info": {}, "videos": videos, "sentences": sentences}
    (tmp_path / "data" / "videodatainfo.json").write_text(json.dumps(content))
    tables = read(tmp_path / "data", None, "auto", num_frames=2)
    assert tables.images["split"].tolist() == ["train", "val", "test"]
    assert tables.references() == {f"video{n}": [f"clip {n}, 0", f"clip {n}, 1"] for n in range(3)}
    assert tables.images["num_frames"].tolist() == [2, 2, 2]
