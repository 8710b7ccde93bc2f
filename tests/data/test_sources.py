"""Every source ends in the same tables; splits are stable; clips become frames."""

import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.data.prepare.splits import assign_splits
from components.data.sources import source_of, sources
from components.data.sources.video import sample_frames
from components.data.tables import Tables, read_tables
from components.errors import UserError
from tests.parameters import prepare, tiny

SPLIT_OF = {"a.png": "train", "b.png": "val", "c.png": "test"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three different pictures in images/."""
    (tmp_path / "images").mkdir()
    for seed, name in enumerate(SPLIT_OF):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / name)
    return tmp_path


def ingest(folder: Path, source: str, **options) -> Tables:
    return prepare(folder / "prepared", source=source, images=str(folder / "images"), **options)


def told(tables: Tables) -> dict[str, tuple[str, list[str]]]:
    """file -> (split, captions): what must be the same whatever the format was."""
    references = tables.references()
    return {row.file_name: (row.split, references[row.image_id]) for row in tables.images.itertuples()}


EXPECTED = {
    name: (split, [f"first of {name[0]}", f"second of {name[0]}"]) for name, split in SPLIT_OF.items()
}


def coco(name: str, number: int) -> tuple[dict, list[dict]]:
    image = {"id": number, "file_name": name, "split": SPLIT_OF[name]}
    return image, [
        {"id": 1, "image_id": number, "caption": f"{which} of {name[0]}"} for which in ("first", "second")
    ]


def test_coco_in_one_file(folder: Path) -> None:
    pairs = [coco(name, number) for number, name in enumerate(SPLIT_OF)]
    content = {
        "images": [i for i, _ in pairs],
        "annotations": [a for _, annotations in pairs for a in annotations],
    }
    (folder / "captions.json").write_text(json.dumps(content))
    tables = ingest(folder, "coco", annotations=str(folder / "captions.json"))
    assert told(tables) == EXPECTED
    assert told(read_tables(folder / "prepared")) == EXPECTED
    assert list(tables.captions["caption_id"]) == list(range(6))
    assert tables.captions["row"][3] == "captions.json: annotations[3]"


def test_coco_in_one_file_a_split(folder: Path) -> None:
    files = {}
    for number, (name, split) in enumerate(SPLIT_OF.items()):
        image, annotations = coco(name, number)
        image.pop("split")
        files[split] = str(folder / f"{split}.json")
        Path(files[split]).write_text(json.dumps({"images": [image], "annotations": annotations}))
    assert told(ingest(folder, "coco", annotations=files)) == EXPECTED


def instances(ids: list, **change) -> dict:
    """An instances file: a dog twice and a bicycle in the first image, nothing in the second."""
    categories = [{"id": 18, "name": "dog"}, {"id": 2, "name": "bicycle"}]
    annotations = [{"image_id": ids[0], "category_id": category} for category in (18, 2, 18)]
    content = {"images": [{"id": i} for i in ids], "annotations": annotations, "categories": categories}
    return content | change


def coco_with(folder: Path, content: dict) -> Tables:
    pairs = [coco(name, number) for number, name in enumerate(SPLIT_OF)]
    captions = {"images": [i for i, _ in pairs], "annotations": [a for _, several in pairs for a in several]}
    (folder / "captions.json").write_text(json.dumps(captions))
    (folder / "instances.json").write_text(json.dumps(content))
    options = {"annotations": str(folder / "captions.json"), "objects": str(folder / "instances.json")}
    return ingest(folder, "coco", **options)


def test_coco_objects_are_the_categories_of_an_image_with_synonyms(folder: Path) -> None:
    tables = coco_with(folder, instances([0, "1"]))
    assert told(tables) == EXPECTED
    found = read_tables(folder / "prepared").images.set_index("image_id")["objects"]
    dog, bicycle = (list(names) for names in found["0"])
    assert dog == ["dog", "puppy", "pup"] and bicycle == ["bicycle", "bike"]
    assert len(found["1"]) == 0 and found["2"] is None, "nothing there, and nobody knows"
    assert "2 images it is known" in (folder / "prepared" / "card.md").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (instances([7, 8]), "instances.json: not one image_id of data.annotations .such as 0. is there"),
        ({"images": [], "annotations": []}, "instances.json: no list 'categories'. It has: images, annot"),
        (
            instances([0], categories=[{"id": 2, "name": "bicycle"}]),
            r"annotations\[0\]: category_id 18 is none",
        ),
    ],
)
def test_instances_that_do_not_fit_are_named(folder: Path, content: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        coco_with(folder, content)


def test_objects_go_by_split_where_ids_do(folder: Path) -> None:
    """Files that number their images from 1 each: image 1 of val is not image 1 of train."""
    files: dict[str, dict[str, str]] = {"annotations": {}, "objects": {}}
    for name, split in SPLIT_OF.items():
        image, annotations = coco(name, 1)
        image.pop("split")
        category = {"id": 1, "name": f"thing of {split}"}
        content = {"images": [image], "annotations": [{"image_id": 1, "category_id": 1}]}
        for key, change in (
            ("annotations", {"annotations": annotations}),
            ("objects", {"categories": [category]}),
        ):
            files[key][split] = str(folder / f"{key}-{split}.json")
            Path(files[key][split]).write_text(json.dumps(content | change))
    tables = ingest(folder, "coco", **files)
    assert told(tables) == EXPECTED
    for row in tables.images.itertuples():
        assert [list(names) for names in row.objects] == [[f"thing of {row.split}"]]
    with pytest.raises(UserError, match="data.objects names no splits, but .* share image ids"):
        ingest(folder, "coco", **files | {"objects": files["objects"]["train"]})


def test_karpathy_takes_objects_by_cocoid(folder: Path) -> None:
    images = [
        {"filepath": "images", "filename": name, "cocoid": 10 + number, "imgid": number, "split": split}
        | {"sentences": [{"raw": f"a dog, {name[0]}"}]}
        for number, (name, split) in enumerate(SPLIT_OF.items())
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))
    (folder / "instances.json").write_text(json.dumps(instances([10, 11, 12])))
    tables = prepare(
        folder / "prepared",
        source="karpathy",
        annotations=str(folder / "dataset_coco.json"),
        objects=[str(folder / "instances.json")],
    )
    assert [[names[0] for names in several] for several in tables.images["objects"]] == [
        ["dog", "bicycle"],
        [],
        [],
    ]


def test_karpathy_folds_restval_into_train(folder: Path) -> None:
    images = [
        {
            "filepath": "images",
            "filename": name,
            "imgid": number,
            "split": "restval" if split == "train" else split,
        }
        | {"sentences": [{"raw": f"first of {name[0]}"}, {"raw": f"second of {name[0]}"}]}
        for number, (name, split) in enumerate(SPLIT_OF.items())
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    tables = prepare(folder / "prepared", source="karpathy", annotations=str(folder / "dataset_coco.json"))
    assert told(tables) == {f"images/{name}": value for name, value in EXPECTED.items()}


def rows(listed: bool) -> list[dict]:
    if listed:
        return [
            {"image": n, "caption": captions, "split": split} for n, (split, captions) in EXPECTED.items()
        ]
    return [{"image": n, "caption": c, "split": s} for n, (s, captions) in EXPECTED.items() for c in captions]


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_table_of_every_format(folder: Path, suffix: str, listed: bool) -> None:
    file, frame = folder / f"rows{suffix}", pd.DataFrame(rows(listed))
    if suffix in (".csv", ".tsv"):
        if listed:
            frame["caption"] = frame["caption"].map(json.dumps)
        frame.to_csv(file, index=False, sep="," if suffix == ".csv" else "\t")
    elif suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_json(file, orient="records", lines=True)
    assert told(ingest(folder, "table", annotations=str(file))) == EXPECTED


def test_image_folder_with_metadata(folder: Path) -> None:
    """The convention of Hugging Face: metadata.jsonl beside the pictures, columns file_name and text."""
    lines = [{"file_name": row["image"], "text": row["caption"], "split": row["split"]} for row in rows(True)]
    (folder / "images" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    tables = prepare(folder / "prepared", source="table", annotations=str(folder / "images"))
    assert told(tables) == EXPECTED


def test_csv_rows_are_numbered_as_a_spreadsheet_shows_them(folder: Path) -> None:
    frame = pd.DataFrame(rows(False))
    frame.loc[3, "caption"] = None
    frame.to_csv(folder / "rows.csv", index=False)
    with pytest.raises(UserError, match="rows.csv: row 5: caption-missing"):
        ingest(folder, "table", annotations=str(folder / "rows.csv"))


@pytest.mark.parametrize(
    ("source", "name", "content", "message"),
    [
        ("coco", "x.json", "{broken", "x.json: not valid JSON"),
        ("coco", "x.json", "[]", "a list, where an object was expected"),
        ("coco", "x.json", '{"info": 1}', "no list 'images'. It has: info"),
        ("table", "x.csv", "a,b\n1,2\n", "none of the columns image, .* It has: a, b"),
        (
            "table",
            "x.jsonl",
            '{"image": "a", "text": "b"}\nnope\n',
            "x.jsonl: line 2: not valid JSON",
        ),
        ("table", "x.parquet", "nope", "x.parquet: cannot be read"),
        ("table", "x.xlsx", "nope", "the ending says none of .* Save it as CSV"),
        ("table", "x.txt", "nope", "none of the columns .* It has: nope"),
    ],
)
def test_a_file_of_another_format_is_named(
    folder: Path, source: str, name: str, content: str, message: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=message):
        ingest(folder, source, annotations=str(folder / name))


def test_unknown_sources_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'cocoo'. Known: auto, coco, datasets, karpathy, msrvtt, scenes"):
        prepare(tmp_path / "out", source="cocoo")
    with pytest.raises(UserError, match="data.annotations is empty: the source 'coco'"):
        prepare(tmp_path / "out", source="coco")
    with pytest.raises(UserError, match="nowhere.json: no such file"):
        prepare(tmp_path / "out", source="coco", annotations="nowhere.json")
    assert set(sources()) == {
        "coco",
        "datasets",
        "karpathy",
        "msrvtt",
        "scenes",
        "table",
        "video",
        "webdataset",
    }


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            {"colour": "red"},
            "data.colour is 'red': the source 'scenes' has no such option. It has: num_images, ",
        ),
        ({"images": "images"}, "data.images is 'images': the source 'scenes' has no such option"),
        (
            {"source": "table", "objects": "i.json"},
            "data.objects is 'i.json': the source 'table' has no such",
        ),
        (
            {"num_images": 12},
            "params.yaml: 'data.num_images' is 12: Input should be greater than or equal to 300",
        ),
        (
            {"source": "video", "num_frames": None},
            "params.yaml: 'data.num_frames' is None: Input should be a val",
        ),
    ],
)
def test_options_that_a_source_does_not_have_are_named_with_it(data: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        source_of(tiny(data=data).data)


def test_an_option_that_every_params_yaml_has_is_passed_over_by_other_sources() -> None:
    source = source_of(tiny(data={"source": "coco", "num_images": 12, "folder": "here", "seed": 3}).data)
    assert source.options.model_dump() == {"annotations": None, "images": None, "objects": None}
    assert (source.folder, source.seed) == (Path("here"), 3)


def test_paths_are_below_the_folder_or_absolute(folder: Path) -> None:
    pairs = [coco(name, number) for number, name in enumerate(SPLIT_OF)]
    content = {"images": [i for i, _ in pairs], "annotations": [a for _, several in pairs for a in several]}
    (folder / "captions.json").write_text(json.dumps(content))
    below = {"folder": str(folder), "annotations": ["captions.json"], "images": "images"}
    assert told(prepare(folder / "prepared", source="coco", **below)) == EXPECTED
    absolute = below | {"folder": "elsewhere", "annotations": str(folder / "captions.json")}
    with pytest.raises(UserError, match="data.images: elsewhere/images: no such folder"):
        prepare(folder / "prepared", source="coco", **absolute)


def images(count: int) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"image_id": [f"i{n}" for n in range(count)], "sha256": [f"{n:064x}" for n in range(count)]}
    )
    return frame.assign(split=pd.Series(dtype="str"))


def test_hashed_splits_are_stable_when_data_is_added() -> None:
    options = tiny(data={"val_share": 0.1, "test_share": 0.2, "seed": 3}).data
    few, many = assign_splits(images(1000), options), assign_splits(images(5000), options)
    assert few.tolist() == many[:1000].tolist()
    shares = many.value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.02) and shares["val"] == pytest.approx(0.1, abs=0.02)
    assert assign_splits(images(1000), options.model_copy(update={"seed": 4})).tolist() != few.tolist()


def test_hashed_splits_keep_groups_and_twins_together() -> None:
    frame = images(600).assign(group=[f"scene {n // 6}" for n in range(600)])
    frame.loc[599, "sha256"] = frame.loc[0, "sha256"]  # the same picture, filed under another group
    options = tiny(data={"splits": "hash", "val_share": 0.2, "test_share": 0.2}).data
    made = assign_splits(frame, options)
    assert (made[:594].groupby(frame["group"]).nunique() == 1).all()
    assert made[599] == made[0]


def test_given_splits_are_taken_and_bad_shares_refused() -> None:
    frame = images(3).assign(split=["train", None, "test"])
    assert assign_splits(frame, tiny().data).isna().tolist() == [False, True, False]
    with pytest.raises(ValueError, match="less than 0.5"):
        tiny(data={"val_share": 0.5, "test_share": 0.5})
    with pytest.raises(ValueError, match="'auto', 'given', 'complete' or 'hash'"):
        tiny(data={"splits": "random"})


def write_clip(file: Path, count: int) -> None:
    """A clip whose frame k has brightness 10 k."""
    av = pytest.importorskip("av")
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(count):
            picture = np.full((48, 64, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_a_clip_filmed_upright_stands_upright(tmp_path: Path) -> None:
    """Phones store it lying down, with a matrix that turns it by a quarter, clockwise or not."""
    av = pytest.importorskip("av")
    file = tmp_path / "phone.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sky_on_the_left = np.zeros((48, 64, 3), np.uint8)
        sky_on_the_left[:, :16] = (80, 160, 255)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(sky_on_the_left, format="rgb24")))
        container.mux(stream.encode())
    data = bytearray(file.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2; a b u c d v x y w in fixed point
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    for frame in sample_frames(bytes(data), 2):
        assert frame.size == (48, 64)
        assert frame.getpixel((24, 4))[2] > 200 and frame.getpixel((24, 60))[2] < 40, "the sky is above"


def test_clips_become_evenly_sampled_frames(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    table = []
    for name, count, split in (("long", 20, "train"), ("short", 2, "val"), ("mid", 8, "test")):
        write_clip(tmp_path / "clips" / f"{name}.mp4", count)
        table.append({"video": f"{name}.mp4", "caption": f"a {name} clip", "split": split})
    pd.DataFrame(table).to_csv(tmp_path / "clips.csv", index=False)
    options = {"annotations": str(tmp_path / "clips.csv"), "images": str(tmp_path / "clips"), "num_frames": 4}
    tables = prepare(tmp_path / "prepared", source="video", **options)
    assert tables.images.set_index("image_id")["num_frames"].to_dict() == {
        "long.mp4": 4,
        "short.mp4": 2,
        "mid.mp4": 4,
    }
    shades = [np.array(frame).mean() / 10 for frame in tables.open_frames("long.mp4")]
    assert shades == pytest.approx([2, 7, 12, 17], abs=0.5)
    assert np.array(tables.open_image("long.mp4")).mean() / 10 == pytest.approx(12, abs=0.5)
    assert tables.open_frames("mid.mp4")[0].size == (64, 48)


def test_clips_that_are_none_are_faults(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4", 4)
    data = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "text.mp4").write_text("not a clip")
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    names = ["good.mp4", "text.mp4", "cut.mp4", "gone.mp4"]
    pd.DataFrame({"video": names, "caption": [f"clip {n}" for n in names]}).to_csv(
        tmp_path / "clips.csv", index=False
    )
    with pytest.raises(UserError, match="image-unreadable 2") as error:
        prepare(tmp_path / "prepared", source="video", annotations=str(tmp_path / "clips.csv"), splits="hash")
    assert "image-missing 1" in str(error.value)


def test_a_source_is_told_its_options(tmp_path: Path) -> None:
    source = source_of(tiny(data={"num_images": 300, "seed": 5}).data)
    raw = source.read(tmp_path)
    assert len(raw.images) == 300 and len(raw.captions) == 1500
    assert raw.root == tmp_path / "scratch"


def test_a_source_of_ones_own_is_one_file(folder: Path, monkeypatch) -> None:
    """The file of the docstring in sources/base.py, read with a params.yaml that names it."""
    from components.data import sources as package

    (folder / "mine").mkdir()
    (folder / "mine" / "lines.py").write_text(
        "from components.data.sources.base import Source\n"
        "class Lines(Source):\n"
        "    name = 'lines'\n"
        "    class Options(Source.Options):\n"
        "        separator: str = '|'\n"
        "    def read(self, workdir):\n"
        "        (file,) = self.annotation_files()\n"
        "        rows = [line.split(self.options.separator) for line in file.read_text().splitlines()]\n"
        "        place = file.parent / 'images'\n"
        "        images = [{'image_id': n, 'file': n, 'split': s, 'beside': place, 'row': n}\n"
        "                  for n, s, _ in rows]\n"
        "        return self.tables(images, [{'image_id': n, 'caption': c, 'row': n} for n, _, c in rows])\n"
    )
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder / "mine")])
    options = {"source": "lines", "annotations": str(folder / "rows.txt")}
    for separator in ("|", ";"):
        lines = [f"{n}{separator}{s}{separator}a picture of {n[0]}\n" for n, s in SPLIT_OF.items()]
        (folder / "rows.txt").write_text("".join(lines))
        tables = prepare(folder / "prepared", **options)
        options["separator"] = ";"
    assert told(tables) == {n: (s, [f"a picture of {n[0]}"]) for n, s in SPLIT_OF.items()}


def test_coco_as_it_is_published_has_a_folder_and_a_file_a_split(folder: Path) -> None:
    """And files made by hand each number their images from 1."""
    files, folders = {}, {}
    for name, split in SPLIT_OF.items():
        folders[split] = str(folder / "images" / f"{split} 2014")
        Path(folders[split]).mkdir()
        (folder / "images" / name).rename(Path(folders[split], "one.png"))
        files[split] = str(folder / f"captions_{split}.json")
        content = {"images": [{"id": 1, "file_name": "./one.png"}]}
        content["annotations"] = [{"id": 1, "image_id": 1, "caption": f"first of {name[0]}"}]
        Path(files[split]).write_text(json.dumps(content))
    tables = prepare(folder / "prepared", source="coco", annotations=files, images=folders)
    assert told(tables) == {
        f"{split} 2014/one.png": (split, [f"first of {name[0]}"]) for name, split in SPLIT_OF.items()
    }
    assert all(tables.open_image(image_id) for image_id in tables.images["image_id"])
    with pytest.raises(UserError, match="data.images names no folder for 'test', only for train, val"):
        prepare(
            folder / "out",
            source="coco",
            annotations=files,
            images={s: f for s, f in folders.items() if s != "test"},
        )


def test_an_image_folder_a_split(folder: Path) -> None:
    """As the Hugging Face hub stores them: train/, validation/ and test/, each with its metadata."""
    for name, directory in zip(SPLIT_OF, ("train", "validation", "test"), strict=True):
        place = folder / "hub" / directory
        place.mkdir(parents=True)
        (folder / "images" / name).rename(place / "0001.PNG")
        (place / "metadata.jsonl").write_text(
            json.dumps({"file_name": "0001.PNG", "text": f"first of {name[0]}"})
        )
    tables = prepare(folder / "prepared", source="table", annotations=str(folder / "hub"))
    expected = zip(("train", "validation", "test"), SPLIT_OF.items(), strict=True)
    assert told(tables) == {f"{d}/0001.PNG": (s, [f"first of {n[0]}"]) for d, (n, s) in expected}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_spreadsheets_of_other_habits(folder: Path, separator: str) -> None:
    """Capitals, semicolons, lists as pandas writes them, names as Windows and Apple write them."""
    (folder / "images" / "Café Ä").mkdir()
    (folder / "images" / "a.png").rename(folder / "images" / "Café Ä" / "a.png")
    names = {"a.png": "Cafe\u0301 A\u0308\\a.png", "b.png": "./b.png", "c.png": "c.png"}
    frame = pd.DataFrame(
        {
            "ID": range(3),
            "Image": [names[n] for n in SPLIT_OF],
            "Captions ": [str([f"first of {n[0]}", f"it's {n[0]}"]) for n in SPLIT_OF],
            "Split": ["Train", "validation", "TEST"],
        }
    )
    frame.to_csv(folder / "rows.CSV", index=False, sep=separator)
    tables = ingest(folder, "table", annotations=str(folder / "rows.CSV"))
    assert list(told(tables).values()) == [
        (s, [f"first of {n[0]}", f"it's {n[0]}"]) for n, s in SPLIT_OF.items()
    ]
    assert all(tables.open_image(image_id).size == (24, 20) for image_id in tables.images["image_id"])
