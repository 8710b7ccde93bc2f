"""What a person reads and looks at before training: the data card and the contact sheet."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.config import Params
from components.data.prepare.contact_sheet import contact_sheet, main, mixed
from components.data.tables import SPLITS, Tables
from components.errors import UserError
from tests.parameters import prepare

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder = tmp_path_factory.mktemp("data") / "prepared"
    return prepare(folder, num_images=300, image_size=64, seed=4)


def test_card_tells_licence_counts_and_limits(prepared: Tables) -> None:
    card = (prepared.folder / "card.md").read_text()
    for words in (
        "CC BY-SA 4.0",
        "CLDR",
        "## Limits",
        "| train | 270 | 1350 |",
        "green apple",
        "striped",
        "seed 4",
    ):
        assert words in card, words
    assert "{" not in card.replace("{np}", "").split("## Grammar")[0]


def test_the_page_shows_the_data_with_the_card_and_loads_nothing_but_near_twins(prepared: Tables) -> None:
    page = (prepared.folder.with_name("prepared-report") / "index.html").read_text()
    sources = re.findall(r'(?:src|data)="([^"]*)"', page)
    assert {source for source in sources if not source.startswith("data:image/")} == {"near_twins.png"}
    assert page.count('class="picture"') == 24 and "<script" not in page
    shown = [line for line in prepared.captions["caption"] if f"<p>{line}</p>" in page]
    assert len(shown) >= 3 * 24
    bars = re.findall(r'title="(\d+) words: ([\d,]+) captions"', page)
    words = prepared.captions["caption"].str.split().str.len().value_counts().to_dict()
    assert {int(n): int(c.replace(",", "")) for n, c in bars if c != "0"} == words
    assert "<h3>Grammar</h3>" in page and "<th>different words</th>" in page, "the card"
    assert "270</b><span>images in train" in page and "Every check passed" in page


def own_data(folder: Path, **options: str) -> Tables:
    """Of the source `table`, prepared."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    rows = [{"image": f"{i}.png", "caption": f"thing number {i}"} for i in range(40)]
    for row in rows:
        Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / row["image"])
    pd.DataFrame(rows).to_csv(folder / "captions.csv", index=False)
    return prepare(folder / "prepared", source="table", annotations=str(folder / "captions.csv"), **options)


def test_a_licence_belongs_to_the_data_that_it_is_of(prepared: Tables, tmp_path: Path) -> None:
    assert prepared.licence == "OpenMoji drawings, CC BY-SA 4.0; names from Unicode CLDR"
    given = own_data(tmp_path / "given", licence="CC0 1.0")
    assert given.licence == "CC0 1.0" and "CC0 1.0" in (given.folder / "card.md").read_text()
    none = own_data(tmp_path / "none", licence="")
    assert none.licence == "" and "None was given" in (none.folder / "card.md").read_text()


def test_params_yaml_gives_no_licence_to_other_data() -> None:
    assert Params.load(ROOT / "params.yaml").data.licence == ""


def test_sheet_shows_every_split_enlarged_by_whole_pixels(prepared: Tables) -> None:
    part = mixed(prepared, 12)
    assert part.images["split"].value_counts().to_dict() == dict.fromkeys(SPLITS, 4)
    sheet = contact_sheet(part, number=12, columns=4)
    first = prepared.open_image(part.images["image_id"][0])
    shown = sheet.crop((26, 26, 26 + 192, 26 + 192))
    assert shown.tobytes() == first.resize((192, 192), Image.Resampling.NEAREST).tobytes()


def test_sheet_command(prepared: Tables, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main([str(prepared.folder), "--out", str(tmp_path / "sheet.png"), "--split", "test", "--number", "5"])
    assert Image.open(tmp_path / "sheet.png").width == 5 * 232 + 12
    assert str(tmp_path / "sheet.png") in capsys.readouterr().out


def test_sheet_of_nothing_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="images.parquet: no such file. Make it with `dvc repro prepare`"):
        main([str(tmp_path)])


def test_preparing_twice_gives_the_same_bytes(prepared: Tables, tmp_path: Path) -> None:
    """DVC compares content: anything unstable would re-run every later stage."""
    again = prepare(tmp_path / "prepared", num_images=300, image_size=64, seed=4)
    for name in ("images.parquet", "captions.parquet", "card.md", "LICENCE", "contact_sheet.png"):
        assert (again.folder / name).read_bytes() == (prepared.folder / name).read_bytes(), name
