"""The page is whole, honest and self-contained."""

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.data.display import caption_sheet, data_uri
from components.errors import UserError
from components.evaluation.bootstrap import Interval
from components.evaluation.evaluate import Evaluation
from components.evaluation.results import read_json
from components.evaluation.scoring.language import Language
from components.model.attention_maps import attention_maps
from components.report.charts import Bar, Line, interval_chart, line_chart, ticks
from components.report.content import WordMaps, choose_pictures, load_variant
from components.report.looking import overlay, own_attention, word_maps
from components.report.plots import write_plots
from components.report.render import render, write_page
from components.report.words import Word, split_words
from tests.evaluation_report_fixtures import report

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def content():
    return report()


@pytest.fixture(scope="module")
def page(content):
    return render(content)


def test_nothing_is_loaded_from_anywhere(page):
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', page)
    assert sources and all(source.startswith(("data:", "data/index.html", "#")) for source in sources)
    assert not re.search(r"https?://|<script|@import|url\(", page)


def test_links_lead_somewhere(page):
    for target in re.findall(r'href="#([^"]+)"', page):
        assert f'id="{target}"' in page


def test_scores_with_intervals_captions_and_references_are_there(content, page):
    for variant in content.variants:
        score = variant.metrics["systems"]["model"]["CIDEr"]
        assert f"{score['mean']:.3f}<small>{score['low']:.3f}–{score['high']:.3f}</small>" in page
        for image_id in [*content.sample, *content.worst]:
            assert variant.captions[image_id] in page
    for name in (
        "nearest neighbour",
        "most frequent",
        "blind mlp",
        "blind transformer",
        "METEOR",
        "CLIPScore",
        "perplexity",
    ):
        assert name in page
    for image_id in content.worst:
        assert all(reference in page for reference in content.references[image_id])
    assert "corrupt picture" in page and "duplicate caption_id" not in page, (
        "faults that occurred, and no others"
    )
    assert "0dd9e48 (clean)" in page and "epochs: 24" in page


def test_a_share_of_nearly_all_is_not_called_all(content):
    first = content.variants[0]
    model = first.metrics["systems"]["model"] | {
        "entirely_right": {"mean": 0.9986, "low": 0.9957, "high": 1.0}
    }
    metrics = first.metrics | {"systems": first.metrics["systems"] | {"model": model}}
    text = render(dataclasses.replace(content, variants=[dataclasses.replace(first, metrics=metrics)]))
    assert "<b>99.9 %</b> of captions are entirely right, 95 % 99.6–100<" in text


def test_pictures_survive_the_page(content, page):
    image_id = content.sample[0]
    uri = data_uri(content.clips[image_id][0])
    assert uri in page
    shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert shown.size == (64, 64)
    np.testing.assert_allclose(
        np.asarray(shown.convert("RGB")), np.asarray(content.clips[image_id][0]), atol=0
    )


def test_a_large_photograph_is_shrunk():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8))
    uri = data_uri(noise)
    assert uri.startswith("data:image/jpeg") and len(uri) < 120_000


def test_a_sheet_has_room_for_every_text():
    """Of pictures and clips; the reference is grey, and texts are cut to so many lines."""
    red, frames = Image.new("RGB", (64, 64), "red"), [Image.new("RGB", (300, 100), "blue")] * 5
    short = caption_sheet([[red], frames], ["a dog", "two dogs"], columns=5)
    long = caption_sheet([[red], frames], [["a dog " * 40, ""], ["a"]], ["a cat", ""], columns=5, lines=3)
    assert short.width == long.width == 2 * 232 + 12 and long.height - short.height == 4 * 17
    assert long.getpixel((12 + 14, 12 + 14)) == (255, 0, 0) and long.getpixel((12, 12)) == (240, 240, 240)
    assert long.getpixel((232 + 12 + 110, 12 + 110)) == (0, 0, 255)
    assert caption_sheet([], []).size == (244, 12)


def test_text_of_captions_is_never_markup(content):
    image_id = content.sample[0]
    variant = dataclasses.replace(
        content.variants[0], captions={**content.variants[0].captions, image_id: "<script>alert(1)</script>"}
    )
    text = render(dataclasses.replace(content, variants=[variant]))
    assert "<script>" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_a_bare_run_still_makes_a_page(content):
    """No history, no maps, no record of faults, no monitors, one variant without a resampler's gates."""
    metrics = {key: value for key, value in content.variants[0].metrics.items() if key != "monitors"}
    variant = dataclasses.replace(content.variants[0], history=[], metrics=metrics)
    text = render(
        dataclasses.replace(content, variants=[variant], looked=[], faults=None, provenance={}, params="")
    )
    assert "left no record" in text and 'id="learning"' not in text and 'id="looked"' not in text
    clean = render(dataclasses.replace(content, faults={"faults": {"corrupt picture": 0}}))
    assert "found no fault" in clean


def test_a_failed_training_stands_at_the_top(content, page):
    assert 'class="failed"' not in page
    failed = dataclasses.replace(content.variants[1], degenerate="Degenerate test captions: all.")
    text = render(dataclasses.replace(content, variants=[content.variants[0], failed]))
    assert text.count('class="failed"') == 1 and text.index('class="failed"') < text.index('class="tiles"')
    assert f"{failed.name}: the training failed.</b> Degenerate test captions: all. Try more steps" in text


def test_gates_are_drawn_by_block(page):
    assert page.count("<title>attention.3</title>") == 2, "one chart a variant"
    assert "block 3" in page


def test_written_whole_or_not_at_all(content, tmp_path, monkeypatch):
    path = tmp_path / "reports" / "index.html"
    write_page(content, path)
    before = path.read_text()
    broken = dataclasses.replace(content, clips={})
    with pytest.raises(KeyError):
        write_page(broken, path)
    assert path.read_text() == before and list(path.parent.iterdir()) == [path]


def test_chosen_pictures(content):
    chosen = choose_pictures(content.variants, sample=5, worst=3, looked=2, seed=1)
    assert chosen == choose_pictures(content.variants, sample=5, worst=3, looked=2, seed=1)
    assert chosen.sample != choose_pictures(content.variants, sample=5, seed=2).sample
    assert chosen.looked == chosen.sample[:2] and len(set(chosen.sample)) == 5
    mean = {i: np.mean([variant.cider[i] for variant in content.variants]) for i in content.variants[0].cider}
    assert sorted(mean[i] for i in chosen.worst) == sorted(mean.values())[:3]
    assert set(chosen.all) == {*chosen.sample, *chosen.worst}


def test_variant_is_read_from_the_files_of_the_stages(tmp_path):
    row = Interval(1.0, 0.5, 1.5)
    evaluation = Evaluation(
        ["a", "b"],
        {"model": ["x", "y"]},
        {"model": {"cider": np.array([[0.5], [1.5]])}},
        {"model": {"CIDEr": row}},
        {},
        Language.of(["x", "y"]),
    )
    evaluation.write(tmp_path)
    variant = load_variant("mlp", tmp_path, tmp_path)
    assert variant.captions == {"a": "x", "b": "y"} and variant.cider == {"a": 0.5, "b": 1.5}
    assert variant.metrics["systems"]["model"]["CIDEr"]["low"] == 0.5 and variant.history == []
    (tmp_path / "history.json").write_text('[{"step": 1}')
    with pytest.raises(UserError, match=r"history.json: not JSON"):
        load_variant("mlp", tmp_path, tmp_path)
    assert read_json(tmp_path / "absent.json") is None


@pytest.mark.parametrize(
    ("low", "high"), [(0, 3.11), (0.2, 0.8), (-0.7, 0.7), (5, 5), (0, 0), (0, 4200), (1e-4, 3e-4)]
)
def test_ticks_are_round_and_span_the_data(low, high):
    values = ticks(low, high)
    assert values[0] <= low and values[-1] >= high and 2 <= len(values) <= 8
    steps = np.diff(values)
    np.testing.assert_allclose(steps, steps[0])


def test_curves_and_bars_stand_where_their_numbers_say():
    svg = line_chart([Line("up", [0, 1, 2], [0.0, 1.0, 2.0], "v0", dots=True)], "epoch", zero=True)
    points = np.array([p.split(",") for p in re.search(r'points="([^"]+)"', svg)[1].split()], dtype=float)
    np.testing.assert_allclose(np.diff(points, axis=0), np.diff(points, axis=0)[[0, 0]], atol=0.11)
    assert points[0, 0] < points[-1, 0] and points[0, 1] > points[-1, 1], "to the right and up"
    bars = interval_chart(
        [Bar("a", Interval(2.0, 1.5, 2.5), "v0"), Bar("<b>", Interval(1.0, 0.5, 1.5), "base")]
    )
    widths = [float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', bars)]
    assert widths[0] == pytest.approx(2 * widths[1], abs=0.2) and "&lt;b&gt;" in bars
    assert line_chart([Line("nothing", [], [], "v0")], "epoch") == "" == interval_chart([])
    assert "nan" not in line_chart([Line("gap", [0, 1, 2], [1.0, float("nan"), 2.0], "v0")], "epoch")


def test_overlay_keeps_colour_where_a_word_looked():
    red = Image.new("RGB", (64, 64), (220, 20, 20))
    weights = np.zeros((2, 16))
    weights[1, 3] = 1  # of the second frame, the upper right corner of 4 x 4
    other, shown = (np.asarray(frame, dtype=float) for frame in overlay([red, red], weights, side=80))
    saturation = shown.max(-1) - shown.min(-1)
    assert saturation[8, 70] > 150 > 20 > saturation[70, 8]
    assert (other.max(-1) - other.min(-1)).max() < 20


@pytest.mark.parametrize(("words", "shape"), [(["a"], (2, 1, 16)), (["a", "b"], (2, 1, 17))])
def test_maps_that_do_not_fit_are_refused(words, shape):
    with pytest.raises(ValueError, match="image-1"):
        WordMaps("image-1", "mlp", words, np.ones(shape))


def test_a_sheet_draws_letters_only_with_a_font_that_has_them(monkeypatch):
    """Pillow's own font draws boxes for é; of captions for which no font is found, that is said."""
    from components.data import display, fonts

    picture = [[Image.new("RGB", (8, 8))]]
    assert "é" in "".join(map(chr, fonts._letters(fonts.font_for("éЖ", 14).path)))
    assert not any("LastResort" in path for path in fonts._paths()), "it draws boxes for everything"
    monkeypatch.setattr(fonts, "_paths", lambda: iter(()))
    assert fonts.font_for("红色", 14) is None and fonts.font_for("red", 14)
    silent = np.asarray(display.caption_sheet(picture, ["红色"]))
    np.testing.assert_array_equal(silent, np.asarray(display.caption_sheet(picture, [fonts.NO_FONT])))
    lines = display._wrap("红" * 100, fonts.font_for("red", 14), 9)
    assert len(lines) > 1 and "".join(lines) == "红" * 100


@pytest.fixture(scope="module")
def captioner():
    """A model that carries its processor, and features of pictures."""
    from tests.evaluation_fixtures import small_captioner

    model, model.processor, inputs = small_captioner()
    return model, inputs


def test_word_maps_leave_function_words_out(captioner):
    model, inputs = captioner
    maps = word_maps(model, "image-0", "mlp", "a dog on two red cars", inputs(["image-0"]))
    assert maps.words == ["dog", "two", "red", "cars"] and maps.maps.shape == (4, 1, 4)
    other = word_maps(model, "image-1", "mlp", "a dog on two red cars", inputs(["image-1"]))
    assert not np.allclose(maps.maps, other.maps, atol=1e-4), "another picture, another look"


def test_a_words_own_attention_is_what_it_has_above_the_mean(captioner):
    model, inputs = captioner
    input_ids, seen = model.processor(text="two red cars")["input_ids"], inputs(["image-0"])
    words = split_words(model.processor.tokenizer, input_ids[0])
    grids = attention_maps(model, input_ids, **seen).grids()[0].flatten(start_dim=2).numpy()
    each = np.stack([grids[word.tokens].mean(axis=0) for word in words])
    above = (each - each.mean(axis=0)).clip(min=0)
    own = own_attention(model, input_ids, words, seen)
    assert own.max() == 1 and own.min() == 0
    strongest = above.max(axis=(1, 2)).argmax()
    for word in range(len(words)):
        scale = max(above[word].max(), 0.1 * above[strongest].max())
        np.testing.assert_allclose(own[word], above[word] / scale, atol=1e-5)
    alone = own_attention(model, input_ids, [Word("two red cars", words[0].tokens)], seen)
    np.testing.assert_allclose(alone[0], each[0] / each[0].max(), atol=1e-5)


def test_dvc_plots_get_every_variant_curve_and_interval(content, tmp_path):
    write_plots(content, tmp_path)
    curves, scores = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("curves", "scores"))
    names = {variant.name for variant in content.variants}
    assert curves.groupby("curve")["variant"].agg(set).to_dict() == dict.fromkeys(
        ["training loss", "validation CIDEr", "gates of attention", "gates of feed-forward"], names
    )
    assert curves["value"].notna().all() and (curves["value"] >= 0).all()
    gates = curves[(curves["curve"] == "gates of attention") & (curves["step"] == 50)]
    assert sorted(set(gates["line"])) == [f"block {n}" for n in range(4)] and len(gates) == 4 * len(names)
    cider = scores[scores["metric"] == "CIDEr"].set_index("system")
    for variant in content.variants:
        expected = variant.metrics["systems"]["model"]["CIDEr"]
        assert cider.loc[variant.name, ["mean", "low", "high"]].to_dict() == pytest.approx(expected)
    assert {"nearest neighbour", "most frequent"} <= set(cider.index)
    with Image.open(tmp_path / "samples.png") as sheet:
        assert sheet.width > 1000 and len(set(sheet.convert("L").get_flattened_data())) > 50


@pytest.mark.parametrize("name", ["curves", "intervals"])
def test_templates_of_dvc_name_columns_that_exist(name, content, tmp_path):
    write_plots(content, tmp_path)
    template = json.loads((ROOT / ".dvc" / "plots" / f"{name}.json").read_text())
    columns = set(pd.read_csv(tmp_path / ("curves.csv" if name == "curves" else "scores.csv")).columns)
    fields = set(re.findall(r'"field": "(\w+)"', json.dumps(template)))
    assert fields - {"rev"} <= columns and "rev" in fields
