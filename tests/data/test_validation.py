"""Faults that real data has: found, named by file and row, quarantined with a reason; the rest untouched."""

import io
import json
import struct
import tarfile
import time
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.data.pictures import Problem, load_rgb
from components.data.prepare.rules import RULES, mojibake, normal_form
from components.data.prepare.validate import validate
from components.data.tables import Tables, read_tables
from components.errors import UserError
from tests.parameters import prepare

CLEAN = 40


def picture(seed: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


class Builder:
    """A COCO data set that grows by one fault after the other."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.images: list = []
        self.annotations: list = []
        self.expected: set[tuple[str, str]] = set()  # (fault, row)
        (folder / "images").mkdir(parents=True)

    def image(
        self, fault: str | None = None, content: bytes | None = None, caption: object = "", **changes
    ) -> dict:
        """Add an image, by default a good one with a good caption."""
        number = len(self.images)
        entry = {
            "id": number,
            "file_name": f"{number}.png",
            "split": ("train", "val", "test")[number % 3],
        } | changes
        file = self.folder / "images" / f"{number}.png"
        if content is not None:
            file.write_bytes(content)
        else:
            picture(number).save(file)
        self.images.append(entry)
        if fault:
            self.expected.add((fault, f"captions.json: images[{number}]"))
        if caption == "":
            caption = f"picture number {number} of many"
        if caption is not None:
            self.caption(entry["id"], caption)
        return entry

    def caption(self, image_id: object, caption: object, fault: str | None = None) -> None:
        if fault:
            self.expected.add((fault, f"captions.json: annotations[{len(self.annotations)}]"))
        self.annotations.append({"image_id": image_id, "caption": caption})

    def write(self) -> Path:
        file = self.folder / "captions.json"
        file.write_text(
            json.dumps({"images": self.images, "annotations": self.annotations}), encoding="utf-8"
        )
        return file


def png_bomb(side: int) -> bytes:
    """A PNG whose header promises `side` x `side` pixels, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def encoded(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return buffer.getvalue()


def plant(data: Builder) -> None:
    """One fault of every kind that a row can have; file faults first, then ids and splits, then captions."""
    jpeg = encoded(picture(1, (200, 200)), "JPEG")
    data.image("image-unreadable", content=b"")
    data.image("image-unreadable", content=jpeg[: len(jpeg) // 2])
    data.image("image-unreadable", content=b"<html>404 Not Found</html>")
    data.image("image-too-large", content=png_bomb(30_000))
    data.image("image-too-large", content=png_bomb(9_000))
    data.image("image-too-small", content=encoded(picture(2, (1, 1)), "PNG"))
    data.image("image-aspect", content=encoded(picture(3, (400, 10)), "PNG"))
    data.image("image-mode", content=encoded(Image.new("I;16", (20, 20), 1000), "PNG"))
    data.image("image-missing", file_name="nowhere.png")
    data.image("image-outside", file_name="../../etc/passwd")
    data.image("image-outside", file_name="/etc/passwd")
    data.image("image-outside", file_name="..\\..\\secret.png")
    (data.folder / "outside.png").write_bytes(encoded(picture(4), "PNG"))
    (data.folder / "images" / "link.png").symlink_to(data.folder / "outside.png")
    data.image("image-outside", file_name="link.png")
    (data.folder / "images" / "folder.png").mkdir()
    data.image("image-missing", file_name="folder.png")
    data.image("file-name-missing", file_name=None)
    data.image("image-id-missing", id=None, caption=None)
    data.expected.add(("image-without-caption", f"captions.json: images[{len(data.images) - 1}]"))
    data.image("split-missing", split=None)
    data.image("split-unknown", split="holdout")
    data.image("image-without-caption", caption=None)
    twin = data.image()
    data.image("image-twice", **twin, caption=None)
    data.image("image-id-ambiguous", id=9000)
    data.image("image-id-ambiguous", id=9000, caption=None)
    data.expected.add(("image-twice", f"captions.json: images[{len(data.images) - 1}]"))
    content = encoded(picture(77), "PNG")
    data.image("leak-by-image", content=content, split="train")
    data.image(content=content, split="test")
    crowded = data.image("image-with-too-many-captions")
    for number in range(100):
        data.caption(crowded["id"], f"caption {number} of a hundred")
    for fault, caption in BAD_CAPTIONS:
        entry = data.image()
        data.caption(entry["id"], caption, fault)
    data.caption("nobody", "a caption of nobody's", "caption-of-unknown-image")
    repeated = data.image()
    data.caption(repeated["id"], "Fox  in the SNOW")
    data.caption(repeated["id"], "fox in the snow", "caption-twice")
    learned, tested = data.image(split="train"), data.image(split="test")
    data.caption(learned["id"], "the very same sentence", "leak-by-caption")
    data.caption(tested["id"], "The very same sentence")


BAD_CAPTIONS = [
    ("caption-missing", None),
    ("caption-not-text", 12),
    ("caption-not-text", ["a", "list"]),
    ("caption-surrogates", "half a \ud83d face"),
    ("caption-empty", ""),
    ("caption-empty", " \n "),
    ("caption-illegible", "... !!!"),
    ("caption-illegible", "\u3000\u3002"),
    ("caption-control-characters", "a dog\x00 and more"),
    ("caption-control-characters", "a dog\u2028and a line"),
    ("caption-invisible-characters", "a \u202egod"),
    ("caption-invisible-characters", "\ufeffa dog with a mark"),
    ("caption-mojibake", "a cafÃ© in Paris"),
    ("caption-mojibake", "a dog\u2019s life".encode().decode("cp1252")),
    ("caption-mojibake", "a \ufffd dog"),
    ("caption-markup", "a <b>dog</b> in bold"),
    ("caption-markup", "a dog<|endoftext|> and more"),
    ("caption-markup", "salt &amp; pepper on a table"),
    ("caption-markup", "see https://example.org/dog"),
    ("caption-too-long", "dog" * 4000),
    ("caption-holds-cells", "a dog\tanother.jpg"),
    ("caption-holds-cells", "a dog 1000_0.jpg a cat"),
    ("caption-is-list", "['a dog' and 'a cat']"),
    ("caption-mojibake", "\u9518\u7e1ded circle"),
    ("caption-mojibake", "a caf\u8305 in Paris"),
]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    data = Builder(tmp_path_factory.mktemp("planted"))
    for _ in range(CLEAN):
        data.image()
    plant(data)
    data.write()
    return data


@pytest.fixture(scope="module")
def quarantined(planted: Builder) -> Tables:
    options = {
        "source": "coco",
        "annotations": str(planted.folder / "captions.json"),
        "on_invalid": "quarantine",
        "severity": {"leak-by-caption": "quarantine"},
    }
    return prepare(planted.folder / "out" / "prepared", **options)


def found(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "out" / "prepared-report" / "faults.parquet")


def test_at_least_25_kinds_are_found_by_file_and_row(planted: Builder, quarantined: Tables) -> None:
    faults = found(planted.folder)
    rows = set(zip(faults["fault"], faults["row"], strict=True))
    assert planted.expected <= rows, planted.expected - rows
    assert len({fault for fault, _ in planted.expected}) >= 25
    assert all(faults["reason"].str.len() > 10) and all(faults["advice"].str.len() > 3)


def test_nothing_else_is_found(planted: Builder, quarantined: Tables) -> None:
    """A false alarm throws good data away."""
    faults = found(planted.folder)
    rows = set(zip(faults["fault"], faults["row"], strict=True)) - planted.expected
    assert not rows


def test_every_planted_row_is_in_the_quarantine_with_its_record(
    planted: Builder, quarantined: Tables
) -> None:
    removed = pd.read_parquet(quarantined.folder / "quarantine.parquet")
    assert {row for _, row in planted.expected} <= set(removed["row"])
    assert set(removed["fault"]) <= set(RULES)
    nul = removed[removed["fault"] == "caption-control-characters"]
    assert json.loads(nul["record"].iloc[0])["caption"] == "a dog\x00 and more"


def test_the_clean_rest_is_identical_to_what_went_in(planted: Builder, quarantined: Tables) -> None:
    references = quarantined.references()
    for number in range(CLEAN):
        file = f"{number}.png"
        assert references[str(number)] == [f"picture number {number} of many"]
        [written] = quarantined.slices(str(number))
        assert written.read() == (planted.folder / "images" / file).read_bytes()
    again = read_tables(quarantined.folder)
    pd.testing.assert_frame_equal(again.images, quarantined.images)
    pd.testing.assert_frame_equal(again.captions, quarantined.captions)


def test_nothing_faulty_is_left_behind(planted: Builder, quarantined: Tables) -> None:
    written = [quarantined.slices(image_id)[0].read() for image_id in quarantined.images["image_id"]]
    with tarfile.open(quarantined.folder / "images-00000.tar") as tar:
        members = [tar.extractfile(member).read() for member in tar]
    assert set(members) == set(written)
    assert not any(b"root:" in member for member in members)
    assert set(quarantined.captions["image_id"]) == set(quarantined.images["image_id"])


def test_counts_are_metrics_and_the_page_shows_the_faults(planted: Builder, quarantined: Tables) -> None:
    report = planted.folder / "out" / "prepared-report"
    summary = json.loads((report / "validation.json").read_text())
    faults = found(planted.folder)
    assert summary["faults"]["image-unreadable"] == 3
    assert sum(summary["faults"].values()) == len(faults)
    assert summary["quarantined"]["captions"] >= len(BAD_CAPTIONS)
    told = pd.read_parquet(report / "faults.parquet").set_index("fault")["value"]
    assert told["split-unknown"] == "holdout"
    page = (report / "index.html").read_text()
    assert "captions.json: images[43]" in page and "data:image/" in page
    assert "<b>dog</b>" not in page  # captions are data, not markup
    assert "http" not in page.replace("https://example.org/dog", "")


def test_fail_names_the_first_faults_and_leaves_nothing(planted: Builder, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        prepare(tmp_path / "prepared", source="coco", annotations=str(planted.folder / "captions.json"))
    message = str(error.value)
    assert "captions.json: images[40]: image-unreadable: 'an empty file'" in message
    assert "quarantine" in message and len(message.splitlines()) < 20
    assert not (tmp_path / "prepared").exists()
    assert len(pd.read_parquet(tmp_path / "prepared-report" / "faults.parquet")) > 40


def test_an_empty_split_cannot_be_quarantined(tmp_path: Path) -> None:
    data = Builder(tmp_path)
    for _ in range(3):
        data.image(split="train")
    data.image(split="val")
    options = {"source": "coco", "annotations": str(data.write()), "on_invalid": "quarantine"}
    with pytest.raises(UserError, match=r"split-empty in the data \(.*test 0\).*splits: complete"):
        prepare(tmp_path / "prepared", **options)


def test_what_stood_before_stays_when_a_run_fails(planted: Builder, tmp_path: Path) -> None:
    prepare(tmp_path / "prepared", source="scenes", num_images=300, image_size=32)
    before = (tmp_path / "prepared" / "images.parquet").read_bytes()
    with pytest.raises(UserError):
        prepare(tmp_path / "prepared", source="coco", annotations=str(planted.folder / "captions.json"))
    assert (tmp_path / "prepared" / "images.parquet").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {
        "prepared", "prepared-report",
        "prepared.unfinished",  # decoded pictures, for the next run
    }  # fmt: skip


def test_pictures_that_cameras_and_web_sites_make(tmp_path: Path) -> None:
    """CMYK, palette with transparency, animation, EXIF rotation, a Unicode name: as people see them."""
    red = Image.new("RGB", (40, 20), (255, 0, 0))
    files = {
        "cmyk.jpg": encoded(red.convert("CMYK"), "JPEG"),
        "frames.gif": encoded(
            red, "GIF", save_all=True, append_images=[Image.new("RGB", (40, 20), (0, 0, 255))]
        ),
        "naïve 犬.png": encoded(red, "PNG"),
    }
    palette = Image.new("P", (40, 20), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(0, (0, 0, 20, 20))
    files["palette.png"] = encoded(palette, "PNG", transparency=0)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    files["rotated.jpg"] = encoded(red, "JPEG", exif=exif)
    data = Builder(tmp_path)
    for number, (name, content) in enumerate(files.items()):
        (tmp_path / "images" / name).write_bytes(content)
        data.image(id=name, file_name=name, split=("train", "val", "test")[number % 3])
    tables = prepare(tmp_path / "prepared", source="coco", annotations=str(data.write()))
    assert len(tables.images) == 5
    for name in files:
        image = tables.open_image(name)
        assert image.mode == "RGB"
        red_channel, green, _ = image.getpixel((image.width - 2, image.height - 2))
        assert red_channel > 200 and green < 60, name
    assert tables.open_image("palette.png").getpixel((2, 2)) == (255, 255, 255)
    assert tables.open_image("rotated.jpg").size == (20, 40)
    assert tables.images.set_index("image_id").loc["rotated.jpg", ["width", "height"]].tolist() == [20, 40]


def test_a_damaged_picture_is_named_when_it_is_opened(tmp_path: Path) -> None:
    tables = prepare(tmp_path / "prepared", source="scenes", num_images=300, image_size=32)
    image_id = tables.images["image_id"][7]
    [place] = tables.slices(image_id)
    with place.file.open("r+b") as shard:
        shard.seek(place.offset)
        shard.write(b"\x89PNG broken")
    with pytest.raises(
        UserError, match=f"images-00000.tar: image '{image_id}': not a picture.*dvc repro -f prepare"
    ):
        tables.open_image(image_id)


def test_no_picture_is_decoded_beyond_the_limit() -> None:
    with pytest.raises(Problem, match="image-too-large: 9000 x 9000"):
        load_rgb(png_bomb(9_000))


def test_mojibake_is_told_from_capitals_with_accents() -> None:
    russian, japanese = (text.encode().decode("latin-1") for text in ("кот на столе", "日本の猫"))
    broken = [russian, japanese, "Ã\xa0 la carte", "a 10Â°C day", "\u00f0\u0178\u02dc\u20ac"]
    assert [text for text in broken if not mojibake(text)] == []
    whole = [
        "AMANHÃ\u2026",
        "L\u2019\u00c2\u2026",
        "ROMÂ\u2019",
        "São Paulo à 10 °C",
        "кот",
        "日本の猫",
        "\u201cNÃO\u201d",
    ]
    assert [text for text in whole if mojibake(text)] == []


def test_normal_form_is_what_a_reader_takes_for_the_same() -> None:
    assert normal_form("Cafe\u0301  AU lait") == normal_form("caf\u00e9 au lait")
    assert normal_form("\uff41 dog") == normal_form("a dog")
    assert normal_form("a dog") != normal_form("a dot")


def test_captions_by_the_ten_thousand_validate_in_a_second() -> None:
    """A tenth of the bar, to keep the suite short; in processor time, so that other work is no failure."""
    count = 12_000
    ids = [f"{number:012d}" for number in range(count)]
    rng = np.random.default_rng(0)
    images = pd.DataFrame({"image_id": ids, "file_name": ids, "sha256": ids, "row": ids})
    images["split"] = rng.choice(["train", "val", "test"], count)
    words = np.array([f"word{number}" for number in range(3000)])
    texts = [" ".join(row) for row in words[rng.integers(0, 3000, (5 * count, 9))]]
    captions = pd.DataFrame(
        {"image_id": np.repeat(ids, 5), "caption": texts, "row": "", "caption_id": range(5 * count)}
    )
    begin = time.process_time()
    assert validate(Tables(images, captions, Path())).empty
    assert time.process_time() - begin < 3


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        prepare(tmp_path / "file" / "prepared", source="scenes", num_images=300, image_size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
