"""Data as people have it goes in unchanged: their columns, quotes, encodings, folders and archives."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from components.data.prepare.report import data_counts
from components.data.tables import Tables
from components.errors import UserError
from tests.parameters import prepare

NAMES = [f"{number:02d}.png" for number in range(12)]
CAPTIONS = {name: [f"a drawing with number {name[:2]}", f"{name[:2]}, drawn , by hand"] for name in NAMES}
SHARES = {"val_share": 0.3, "test_share": 0.3}


def png(seed: int) -> bytes:
    """A picture unlike those of other seeds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """data/, with twelve pictures in pictures/."""
    draw(tmp_path / "data" / "pictures")
    return tmp_path / "data"


def draw(place: Path, names: list[str] = NAMES) -> None:
    place.mkdir(parents=True)
    for name in names:
        (place / name).write_bytes(png(int(name[:2])))


def read(folder: Path, annotations: object, source: str = "table", **options) -> Tables:
    out = folder.parent / "prepared"
    options = SHARES | options
    return prepare(out, source=source, folder=str(folder), annotations=annotations, **options)


def told(tables: Tables) -> dict[str, list[str]]:
    """Name of the picture -> captions."""
    names = tables.images.set_index("image_id")["file_name"].map(lambda name: Path(name).name)
    return {names[image_id]: captions for image_id, captions in tables.references().items()}


def validation(folder: Path) -> dict:
    return json.loads((folder.parent / "prepared-report" / "validation.json").read_text())


def lines(*rows: str) -> str:
    return "\n".join(rows) + "\n"


def numbered(form: str) -> str:
    """A line for each caption."""
    return lines(*(form.format(n, i, c) for n in NAMES for i, c in enumerate(CAPTIONS[n])))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.txt", "image,caption\n" + numbered('{0},"{2}"')),
        ("Flickr8k.token.txt", numbered("{0}#{1}\t{2}")),
        ("token.tsv", numbered("{0}#{1}\t{2}")),
        ("results.csv", "image_name| comment_number| comment\n" + numbered("{0}| {1}| {2}")),
        ("train.tsv", "filepath\ttitle\n" + numbered("{0}\t{2}")),
        ("unquoted.csv", "image,caption\n" + numbered("{0},{2}")),
        ("middle.csv", "filename,text,number\n" + numbered("{0},{2},{1}")),
        ("windows.csv", "sep=;\r\nImage;Caption;\r\n" + numbered("{0};{2};").replace("\n", "\r\n")),
    ],
)
def test_text_tables_as_they_are_distributed(folder: Path, name: str, content: str) -> None:
    (folder / name).write_bytes(content.encode())
    assert told(read(folder, name, images="pictures")) == CAPTIONS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.json", [{"image": n, "caption": c} for n, c in CAPTIONS.items()]),
        ("ids.json", [{"image": n, "caption": t, "image_id": n} for n, c in CAPTIONS.items() for t in c]),
        ("names.json", CAPTIONS),
        ("karpathy.json", [{"image": n, "sentences": [{"raw": t} for t in c]} for n, c in CAPTIONS.items()]),
    ],
)
def test_json_tables(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content))
    assert told(read(folder, name, images="pictures")) == CAPTIONS


@pytest.mark.parametrize(
    "form", ["{0}", "pictures/{0}", "{1}/pictures/{0}", "pictures\\{0}", "../data/pictures/{0}"]
)
@pytest.mark.parametrize("images", ["pictures", None])
def test_names_with_a_folder_before_them_are_found(folder: Path, form: str, images: str | None) -> None:
    frame = pd.DataFrame(
        {"path": [form.format(name, folder) for name in NAMES], "caption": CAPTIONS.values()}
    )
    frame.to_parquet(folder / "rows.parquet")
    assert told(read(folder, "rows.parquet", images=images)) == CAPTIONS


def test_names_without_ending_are_found(folder: Path) -> None:
    frame = pd.DataFrame({"image_id": [name[:2] for name in NAMES], "caption": CAPTIONS.values()})
    frame.to_parquet(folder / "rows.parquet")
    assert told(read(folder, "rows.parquet")) == CAPTIONS


def test_a_missing_file_is_told_with_its_neighbour(folder: Path) -> None:
    content = numbered("{0},{2}").replace("03.png", "03.JPG").replace("04.png", "O4.png")
    (folder / "rows.csv").write_text(f"image,caption\n{content}")
    with pytest.raises(UserError, match=r"03.JPG: looked in .*pictures; near it: 03.png"):
        read(folder, "rows.csv", images="pictures")


def test_lists_as_python_numpy_and_json_print_them(folder: Path) -> None:
    first, *others = NAMES
    cells = {name: str(CAPTIONS[name]) for name in others} | {first: json.dumps(CAPTIONS[first])}
    cells["02.png"] = "['a drawing with number 02'\n '02, drawn , by hand']"
    cells["03.png"] = "[\"a drawing with number 03\" '03, drawn , by hand']"
    pd.DataFrame({"image": cells.keys(), "caption": cells.values()}).to_csv(folder / "rows.csv", index=False)
    assert told(read(folder, "rows.csv", images="pictures")) == CAPTIONS


def test_a_list_that_cannot_be_read_is_a_fault(folder: Path) -> None:
    cells = ["['a dog' and 'a cat']", *(c[0] for c in CAPTIONS.values())][:12]
    pd.DataFrame({"image": NAMES, "caption": cells}).to_csv(folder / "rows.csv", index=False)
    with pytest.raises(UserError, match="rows.csv: row 2: caption-is-list"):
        read(folder, "rows.csv", images="pictures")


@pytest.mark.parametrize(("ending", "separator"), [("tsv", "\t"), ("csv", ","), ("csv", ";")])
def test_stray_quotes_swallow_no_rows(folder: Path, ending: str, separator: str) -> None:
    texts = {name: captions[0] for name, captions in CAPTIONS.items()}
    texts |= {
        "01.png": '"Stop" says a sign',
        "03.png": '" said the painter',
        "05.png": 'a wheel of 17" or so',
        "07.png": 'the word "go"',
    }
    content = lines(f"image{separator}caption", *(f"{n}{separator}{text}" for n, text in texts.items()))
    (folder / f"rows.{ending}").write_text(content)
    tables = read(folder, f"rows.{ending}", images="pictures")
    assert told(tables) == {name: [text] for name, text in texts.items()}


def test_quoted_captions_over_lines_are_kept(folder: Path) -> None:
    texts = {n: f'number {n[:2]}, "so to say",\nor not; on white,\n\npaper' for n in NAMES}
    pd.DataFrame({"image": texts.keys(), "caption": texts.values()}).to_csv(folder / "rows.csv", index=False)
    assert told(read(folder, "rows.csv", images="pictures")) == {n: [text] for n, text in texts.items()}


def test_cells_that_fit_no_column_are_faults_with_their_line(folder: Path) -> None:
    """Two columns of text: which of them a comma belongs to would be a guess."""
    rows = [f"{name},one of {name[:2]},two of {name[:2]}" for name in NAMES]
    rows[4] = "04.png,one, or so,two"
    (folder / "rows.csv").write_text(lines("image,caption_0,caption_1", *rows))
    with pytest.raises(UserError, match="row-cells: 'line 6: 4 cells, the header has 3'"):
        read(folder, "rows.csv", images="pictures")


def test_a_row_without_separator_is_named(folder: Path) -> None:
    rows = numbered("{0}| {1}| {2}").replace("03.png| 1| 03", "03.png| 1   03")
    (folder / "results.csv").write_text(f"image_name| comment_number| comment\n{rows}")
    with pytest.raises(UserError, match="results.csv: row 9: row-cells: 'line 9: 2 cells"):
        read(folder, "results.csv", images="pictures")
    kept = told(read(folder, "results.csv", images="pictures", on_invalid="quarantine"))
    assert kept == CAPTIONS | {"03.png": CAPTIONS["03.png"][:1]}


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_encodings_of_spreadsheets(folder: Path, encoding: str, capsys: pytest.CaptureFixture) -> None:
    texts = {name: f"number {name[:2]} in the café’s window" for name in NAMES}
    content = lines("image;caption", *(f"{name};{text}" for name, text in texts.items()))
    (folder / "rows.csv").write_bytes(content.encode(encoding))
    assert told(read(folder, "rows.csv", images="pictures")) == {n: [text] for n, text in texts.items()}
    assert ("read as Windows-1252: line 2" in capsys.readouterr().out) == (encoding == "cp1252")


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1251", "кошка на столе"), ("gbk", "桌上有一只猫"), ("cp1252", "\x81")]
)
def test_other_encodings_are_refused_with_the_line(folder: Path, encoding: str, text: str) -> None:
    data = f"image,caption\n00.png,a cat\n01.png,{text}\n".encode(encoding, "ignore") + b"02.png,\x81\xff\n"
    (folder / "rows.csv").write_bytes(data)
    with pytest.raises(UserError, match=r"rows.csv: line [34] is not UTF-8: .* Save the file as UTF-8"):
        read(folder, "rows.csv", images="pictures")


def test_compressed_tables(folder: Path) -> None:
    (folder / "rows.csv.gz").write_bytes(gzip.compress(("image,caption\n" + numbered('{0},"{2}"')).encode()))
    assert told(read(folder, "rows.csv.gz", images="pictures")) == CAPTIONS
    (folder / "cut.csv.gz").write_bytes((folder / "rows.csv.gz").read_bytes()[:40])
    with pytest.raises(UserError, match="cut.csv.gz: cannot be read"):
        read(folder, "cut.csv.gz", images="pictures")


def test_a_first_row_that_lacks_a_field_is_one_faulty_row(folder: Path) -> None:
    records = [{"file_name": n, "text": c} for n, c in CAPTIONS.items()]
    del records[0]["text"]
    (folder / "rows.jsonl").write_text(lines(*map(json.dumps, records)))
    with pytest.raises(UserError, match="1 faults .*\n.*rows.jsonl: line 1: caption-missing: missing"):
        read(folder, "rows.jsonl", images="pictures")


def test_columns_can_be_named(folder: Path) -> None:
    frame = pd.DataFrame({"image": "?", "Where": NAMES, "caption": "?", "What": CAPTIONS.values()})
    frame.to_parquet(folder / "rows.parquet")
    named = {"image_column": "Where", "caption_column": "what"}
    assert told(read(folder, "rows.parquet", images="pictures", **named)) == CAPTIONS
    with pytest.raises(
        UserError, match="no column 'nope', which data.caption_column names. It has: image, where"
    ):
        read(folder, "rows.parquet", images="pictures", caption_column="nope")


def split_folders(folder: Path, names: tuple[str, str, str]) -> None:
    for number, name in enumerate(names):
        part = NAMES[4 * number : 4 * number + 4]
        draw(folder / name, part)
        frame = pd.DataFrame({"file_name": part})
        for which in range(2):
            frame[f"caption_{which}"] = [CAPTIONS[picture][which] for picture in part]
        frame.to_csv(folder / name / "metadata.csv", index=False)


def test_image_folders_of_splits_with_numbered_captions(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    split_folders(folder, ("train", "dev", "test"))
    draw(folder / "extra", NAMES[:1])
    tables = read(folder, ".")
    assert told(tables) == CAPTIONS
    assert tables.images["split"].value_counts().to_dict() == {"train": 4, "val": 4, "test": 4}
    assert any("not read: extra/" in note for note in validation(folder)["notes"])


def test_an_empty_numbered_caption_is_none(folder: Path) -> None:
    frame = pd.DataFrame({"image": NAMES, "caption_0": [c[0] for c in CAPTIONS.values()], "caption_1": ""})
    frame.to_csv(folder / "rows.csv", index=False)
    assert told(read(folder, "rows.csv", images="pictures")) == {n: c[:1] for n, c in CAPTIONS.items()}


@pytest.mark.parametrize("form", ["struct", "bytes"])
def test_pictures_inside_parquet(folder: Path, form: str) -> None:
    data = [(folder / "pictures" / name).read_bytes() for name in NAMES]
    images = [{"bytes": each, "path": None} for each in data] if form == "struct" else data
    pd.DataFrame({"image": images, "caption": CAPTIONS.values()}).to_parquet(
        folder / "train-00000-of-00001.parquet"
    )
    tables = read(folder, "train-00000-of-00001.parquet")
    assert list(told(tables).values()) == list(CAPTIONS.values())
    written = [tables.slices(image_id)[0].read() for image_id in tables.images["image_id"]]
    assert written == data


def save_to_disk(place: Path, names: list[str]) -> None:
    """What `datasets` writes."""
    place.mkdir(parents=True)
    rows = [{"image": {"bytes": png(int(n[:2])), "path": n}, "text": CAPTIONS[n][0]} for n in names]
    table = pa.Table.from_pylist(rows)
    with (
        pa.OSFile(str(place / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as out,
    ):
        out.write_table(table)
    (place / "state.json").write_text(
        json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]})
    )


def test_what_datasets_saves(tmp_path: Path) -> None:
    save_to_disk(tmp_path / "data" / "one", NAMES)
    assert list(told(read(tmp_path / "data", "one")).values()) == [c[:1] for c in CAPTIONS.values()]
    for number, name in enumerate(("train", "validation", "test")):
        save_to_disk(tmp_path / "data" / "many" / name, NAMES[4 * number : 4 * number + 4])
    (tmp_path / "data" / "many" / "dataset_dict.json").write_text(
        '{"splits": ["train", "validation", "test"]}'
    )
    assert read(tmp_path / "data", "many").images["split"].value_counts().to_dict() == {
        "train": 4,
        "val": 4,
        "test": 4,
    }


def test_text_files_beside_pictures(folder: Path) -> None:
    for name, captions in CAPTIONS.items():
        (folder / "pictures" / name).with_suffix(".txt").write_text(lines(*captions))
    assert told(read(folder, "pictures")) == CAPTIONS
    (folder / "pictures" / "03.txt").unlink()
    (folder / "pictures" / "04.png").unlink()
    with pytest.raises(
        UserError, match=r"(?s)03.png: image-without-caption.*04.txt: image-missing: '04: looked"
    ):
        read(folder, "pictures")


def test_what_img2dataset_writes(folder: Path) -> None:
    """A shard of files and its table; downloads that failed are no faults, but counted."""
    draw(folder / "00000", NAMES)
    status = ["success"] * 12 + ["failed_to_download"] * 2 + ["failed_to_resize"]
    keys = [*(name[:2] for name in NAMES), "97", "98", "99"]
    captions = [*(c[0] for c in CAPTIONS.values()), "a", "b", "c"]
    frame = pd.DataFrame({"url": "https://example.org/x", "key": keys, "caption": captions, "status": status})
    frame.to_parquet(folder / "00000.parquet")
    tables = read(folder, "00000.parquet")
    assert told(tables) == {name: c[:1] for name, c in CAPTIONS.items()}
    assert validation(folder)["left_out"] == {"failed_to_download": 2, "failed_to_resize": 1}
    metrics = data_counts(folder.parent / "prepared-report" / "validation.json")
    assert metrics["data/left_out/failed_to_download"] == 2 and metrics["data/faults"] == 0


def test_shards_of_webdataset(folder: Path) -> None:
    for shard in range(2):
        with tarfile.open(folder / f"0000{shard}.tar", "w") as archive:
            for name in NAMES[shard::2]:
                parts = {"png": png(int(name[:2])), "json": json.dumps({"caption": CAPTIONS[name]}).encode()}
                for ending, data in parts.items():
                    member = tarfile.TarInfo(f"{name[:2]}.{ending}")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
    tables = read(folder, ["00000.tar", "00001.tar"], "webdataset")
    assert told(tables) == {name: CAPTIONS[name] for name in [*NAMES[::2], *NAMES[1::2]]}
    assert told(read(folder, None, "auto")) == told(tables)
    with pytest.raises(UserError, match="00000.tar: .*data.source: webdataset"):
        read(folder, "00000.tar")


def test_web_addresses_are_no_files(folder: Path) -> None:
    (folder / "rows.csv").write_text("url,caption\nhttps://example.org/a.jpg,a dog\n")
    with pytest.raises(UserError, match="row 2: the picture is a web address: .*img2dataset"):
        read(folder, "rows.csv")


def coco(folder: Path, splits: dict[str, list[str]]) -> dict[str, str]:
    """COCO's files, as they are published: one a split, pictures in train2017/ and so on."""
    files = {}
    for split, names in splits.items():
        draw(folder / f"{split}2017", names)
        images = [{"id": int(name[:2]), "file_name": name} for name in names]
        captions = [{"image_id": int(n[:2]), "caption": c} for n in names for c in CAPTIONS[n]]
        files[split] = f"captions_{split}2017.json"
        (folder / files[split]).write_text(json.dumps({"images": images, "annotations": captions}))
    return files


def test_coco_without_test_says_so_and_halves_val_if_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = coco(folder, {"train": NAMES[:4], "val": NAMES[4:]})
    with pytest.raises(
        UserError, match="split-empty: 'train 4, val 8, test 0': .*data.splits: complete"
    ) as error:
        read(folder, files, "coco")
    assert "quarantine" not in str(error.value), "advice that fails"
    tables = read(folder, files, "coco", splits="complete")
    split = tables.images.set_index(tables.images["file_name"].str[-6:])["split"]
    assert (split[NAMES[:4]] == "train").all()
    assert set(split[NAMES[4:]]) == {"val", "test"}


def test_an_instances_file_is_not_told_to_write_captions(tmp_path: Path) -> None:
    (tmp_path / "i.json").write_text(
        json.dumps(
            {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "category_id": 3}]}
        )
    )
    with pytest.raises(UserError, match="i.json: objects, no captions.*data.objects"):
        read(tmp_path, "i.json", "coco")


OVERLAP = "A man riding a wave on top of a surfboard."


def overlapping(folder: Path) -> dict[str, str]:
    for name in NAMES:
        CAPTIONS[name].append(OVERLAP)
    try:
        return coco(folder, {"train": NAMES[:4], "val": NAMES[4:8], "test": NAMES[8:]})
    finally:
        for name in NAMES:
            CAPTIONS[name].pop()


def test_a_sentence_in_all_published_splits_is_reported_and_stays(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = overlapping(folder)
    assert len(read(folder, files, "coco").captions) == 36
    summary = validation(folder)
    assert summary["faults"] == {} and summary["reported"] == {"leak-by-caption": 8}
    expected = {"number": 1, "examples": {OVERLAP.lower(): ["test", "train", "val"]}}
    assert summary["sentences_in_two_splits"] == expected
    metrics = data_counts(folder.parent / "prepared-report" / "validation.json")
    assert metrics["data/reported/leak-by-caption"] == 8 and metrics["data/sentences_in_two_splits"] == 1


def test_severity_is_set_by_rule(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = overlapping(folder)
    with pytest.raises(UserError, match="leak-by-caption 8"):
        read(folder, files, "coco", severity={"leak-by-caption": "fail"})
    assert len(read(folder, files, "coco", severity={"leak-by-caption": "quarantine"}).captions) == 28
    with pytest.raises(UserError, match="no rule 'leak-by-captions'. Near it: leak-by-caption"):
        read(folder, files, "coco", severity={"leak-by-captions": "fail"})
    with pytest.raises(UserError, match="image-missing cannot be 'report'"):
        read(folder, files, "coco", severity={"image-missing": "report"})


@pytest.mark.parametrize("small", ["val", "test"])
def test_a_split_of_one_picture_is_refused(tmp_path: Path, small: str) -> None:
    splits = {"train": NAMES[:4], "val": NAMES[4:8], "test": NAMES[8:]}
    splits[small] = splits[small][:1]
    files = coco(tmp_path / "data", splits)
    with pytest.raises(UserError, match=f"split-too-small: '.*{small} 1.*fewer than two pictures"):
        read(tmp_path / "data", files, "coco", severity={"split-too-small": "fail"})


@pytest.mark.parametrize(
    "caption", ["<PERSON> holds a cup", "a cup of <unk>", "a bottle of 茅台", " ".join(["word"] * 400)]
)
def test_masks_long_captions_and_foreign_words_are_captions(folder: Path, caption: str) -> None:
    frame = pd.DataFrame({"image": NAMES, "caption": [f"{caption} {name[:2]}" for name in NAMES]})
    frame.to_parquet(folder / "rows.parquet")
    assert len(read(folder, "rows.parquet", images="pictures").captions) == 12
