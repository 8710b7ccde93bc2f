"""One table in many spellings: whatever wrote it, the captions are the same, or it is said why not."""

import bz2
import csv
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from components.errors import UserError
from tests.data.test_formats import CAPTIONS, NAMES, coco, draw, lines, numbered, png, read, told, validation

ONE = {name: captions[:1] for name, captions in CAPTIONS.items()}
FIRST = {name: captions[0] for name, captions in CAPTIONS.items()}
PAIRS = [(name, text) for name in NAMES for text in CAPTIONS[name]]
PLAIN = "image,caption\n" + numbered('{0},"{2}"')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "data" / "images")
    return tmp_path / "data"


def table(write: Callable[[list[str]], str]) -> bytes:
    """A CSV with a cell of captions for each picture."""
    cells = pd.DataFrame({"image": NAMES, "caption": [write(captions) for captions in CAPTIONS.values()]})
    return cells.to_csv(index=False).encode()


@pytest.mark.parametrize(
    "write",
    [
        lambda captions: str(tuple(captions)),
        lambda captions: f"array({captions!r}, dtype=object)",
        lambda captions: "[" + ", ".join(json.dumps(text) for text in captions) + "]",
        lambda captions: str([{"raw": text, "tokens": text.split()} for text in captions]),
    ],
)
def test_lists_in_a_cell(folder: Path, write: Callable) -> None:
    (folder / "c.csv").write_bytes(table(write))
    assert told(read(folder, None, "auto")) == CAPTIONS


@pytest.mark.parametrize("form", ["[{0}, {1}]", "array(['{0}' and '{1}'], dtype=object)", "('{0}' or '{1}')"])
def test_lists_that_would_be_a_guess_are_faults(folder: Path, form: str) -> None:
    (folder / "c.csv").write_bytes(table(lambda captions: form.format(*captions)))
    with pytest.raises(UserError, match="row 2: caption-is-list"):
        read(folder, None, "auto")


@pytest.mark.parametrize("separator", [";", "|"])
def test_captions_joined_in_a_cell_are_parted_if_told_and_noted_if_not(folder: Path, separator: str) -> None:
    (folder / "c.csv").write_bytes(table(f"{separator} ".join))
    assert told(read(folder, None, "auto", caption_separator=separator)) == CAPTIONS
    read(folder, None, "auto")
    assert f"c.csv: 12 of 12 captions have '{separator}' in them" in "\n".join(validation(folder)["notes"])


def escaped() -> bytes:
    buffer = io.StringIO()
    style = {"quoting": csv.QUOTE_ALL, "doublequote": False, "escapechar": "\\"}
    quoted = [(name, text.replace("drawn", '"drawn"')) for name, text in PAIRS]
    pd.DataFrame(quoted, columns=["image", "caption"]).to_csv(buffer, index=False, **style)
    return buffer.getvalue().encode()


def test_quotes_with_a_backslash_before_them(folder: Path) -> None:
    (folder / "c.csv").write_bytes(escaped())
    expected = {n: [text.replace("drawn", '"drawn"') for text in texts] for n, texts in CAPTIONS.items()}
    assert told(read(folder, None, "auto")) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv.bz2", bz2.compress(PLAIN.encode())),
        ("c.csv.xz", lzma.compress(PLAIN.encode())),
        ("c.csv.zst", pa.compress(PLAIN.encode(), codec="zstd", asbytes=True)),
        ("c.csv", PLAIN.encode("utf-16-le")),
        ("c.csv", PLAIN.encode("utf-16-be")),
        ("c.tsv", "".join(f"{text}\t{name}\n" for name, text in PAIRS).encode()),
        (
            "c.csv",
            lines("image,caption,caption", *(f'{n},"{a}","{b}"' for n, (a, b) in CAPTIONS.items())).encode(),
        ),
        (
            "c.csv",
            lines("image,text,text.1", *(f'{n},"{a}","{b}"' for n, (a, b) in CAPTIONS.items())).encode(),
        ),
        ("c.csv", pd.DataFrame(PAIRS, columns=[" Image Name", "Caption"]).to_csv().encode()),
        ("c.csv", pd.DataFrame(PAIRS, columns=["fileName", "text_en"]).to_csv().encode()),
        ("c.json", "".join(json.dumps({"image": n, "text": t}) + "\n" for n, t in PAIRS).encode()),
        ("c.jsonl", json.dumps([{"image": n, "text": t} for n, t in PAIRS]).encode()),
        (
            "c.json",
            json.dumps({"version": 1, "data": [{"image": n, "caption_str": t} for n, t in PAIRS]}).encode(),
        ),
        ("c.json", json.dumps({n: {"captions": c, "width": 12} for n, c in CAPTIONS.items()}).encode()),
        ("c.json", pd.DataFrame(PAIRS, columns=["image", "caption"]).to_json().encode()),
    ],
)
def test_a_table_however_it_was_written(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert told(read(folder, None, "auto")) == CAPTIONS


def test_conversations_give_their_first_answer(folder: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}], {"from": "human", "value": "How many?"}
    rows = [
        {"image": n, "conversations": [*turns[0], {"from": "gpt", "value": text}, turns[1]]}
        for n, text in FIRST.items()
    ]
    (folder / "llava.json").write_text(json.dumps(rows))
    assert told(read(folder, None, "auto")) == ONE
    (folder / "llava.json").unlink()
    said = [{"image": n, "messages": [{"role": "assistant", "content": text}]} for n, text in FIRST.items()]
    (folder / "chat.jsonl").write_text(lines(*map(json.dumps, said)))
    assert told(read(folder, None, "auto")) == ONE


@pytest.mark.parametrize("form", ["0000{}.png", "COCO_val2014_0000{}.png"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_ids_that_lost_their_zeros(tmp_path: Path, form: str, ending: str) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "data" / "images" / form.format(name[:2])).write_bytes(png(int(name[:2])))
    frame = pd.DataFrame({"image_id": range(12), "caption": FIRST.values()})
    getattr(frame, f"to_{ending}")(tmp_path / "data" / f"c.{ending}", index=False)
    found = told(read(tmp_path / "data", None, "auto"))
    assert found == {form.format(name[:2]): [text] for name, text in FIRST.items()}


def test_web_addresses_are_files_if_most_are_there(folder: Path) -> None:
    address = "https://example.org/{}?size=2"
    rows = [f'{address.format(name)},"{text}"' for name, text in FIRST.items()]
    (folder / "c.csv").write_text(lines("url,caption", *rows))
    assert told(read(folder, None, "auto")) == ONE
    (folder / "c.csv").write_text(lines("url,caption", *(row.replace("/0", "/a/x0") for row in rows)))
    with pytest.raises(UserError, match="row 2: the picture is a web address"):  # two of twelve are here
        read(folder, None, "auto")
    (folder / "c.csv").write_text(lines("url,caption", *rows, rows[3].replace(".org", ".com")))
    with pytest.raises(UserError, match="where no two end with the same name"):
        read(folder, None, "auto")


@pytest.mark.parametrize(
    "names", [("train", "eval", "test"), ("train_set", "val_set", "test_set"), ("a-train", "Dev", "b-test")]
)
def test_folders_that_are_named_after_splits(tmp_path: Path, names: tuple[str, str, str]) -> None:
    for number, name in enumerate(names):
        several = NAMES[number::3]
        draw(tmp_path / "data" / name, several)
        frame = pd.DataFrame({"file_name": several, "text": [FIRST[n] for n in several]})
        frame.to_csv(tmp_path / "data" / name / "metadata.csv", index=False)
    tables = read(tmp_path / "data", None, "auto")
    assert told(tables) == ONE
    assert tables.images["split"].value_counts().to_dict() == {"train": 4, "val": 4, "test": 4}


def test_two_folders_of_one_split_are_both_read(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "training", "val", "test")):
        several = NAMES[number::4]
        draw(tmp_path / "data" / name, several)
        frame = pd.DataFrame({"file_name": several, "text": [FIRST[n] for n in several]})
        frame.to_csv(tmp_path / "data" / name / "metadata.csv", index=False)
    assert read(tmp_path / "data", None, "auto").images["split"].value_counts()["train"] == 6


def test_text_files_named_after_the_whole_picture(tmp_path: Path) -> None:
    draw(tmp_path / "data")
    for name, captions in CAPTIONS.items():
        (tmp_path / "data" / f"{name}.txt").write_text(lines(*captions))
    assert told(read(tmp_path / "data", None, "auto")) == CAPTIONS


def test_captions_that_vizwiz_rejects_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    files = coco(folder, {"train": NAMES})
    content = json.loads((folder / files["train"]).read_text())
    for annotation in content["annotations"][3:6]:  # the second of picture 1, both of picture 2
        annotation |= {"caption": "Quality issues are too severe.", "is_rejected": True}
    (folder / files["train"]).write_text(json.dumps(content))
    expected = CAPTIONS | {"01.png": CAPTIONS["01.png"][:1]}
    assert told(read(folder, files["train"], "coco")) == {n: c for n, c in expected.items() if n != "02.png"}
    assert validation(folder)["left_out"] == {"rejected_caption": 3, "without_other_caption": 1}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "c.csv",
            lines("image,caption", *(f"{n},le café" for n in NAMES)).encode("mac_roman"),
            "line 2 is not UTF-8",
        ),
        (
            "c.csv",
            lines("image,caption", *(f"{n},żółty ptak" for n in NAMES)).encode("cp1250"),
            "line 2 is not UTF-8",
        ),
        (
            "c.csv",
            lines("image,caption", *(f"{n},жёлтая птица" for n in NAMES)).encode("cp1251"),
            "line 2 is not UTF-8",
        ),
        ("c.csv", b"image,caption_de,caption_en\n00.png,ein,one\n", "It has: image, caption_de, caption_en"),
        ("c.xlsx", b"PK", "c.xlsx: the ending says none of .* Save it as CSV"),
        ("c.json", b'{"00": ["a", "b"]}', "c.json: an object with 00.* set data.source: table"),
    ],
)
def test_what_is_not_read_is_told_with_the_reason(
    folder: Path, name: str, content: bytes, reason: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"no captions recognised.*{reason}"):
        read(folder, None, "auto")
