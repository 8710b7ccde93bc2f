"""How captions are decoded is chosen once, travels with the model, and is the same wherever it captions."""

import json

import pytest
import torch

from components.data.display import data_uri
from components.errors import UserError
from components.evaluation.scoring.decode import decode
from components.model import CaptionModel, CaptionProcessor
from components.model.configuration import bridge_fields
from components.training import decoding
from components.training.decoding import (
    Choice,
    Trial,
    choose_decoding,
    grid,
    prepare,
    read_choice,
    write_choice,
)
from tests.parameters import tiny


@pytest.fixture(scope="module")
def captioner(params, towers):
    """Its gates are open, so that pictures matter."""
    torch.manual_seed(0)
    fields = bridge_fields(params.model.model_dump(), "mlp", True)
    model = CaptionModel.from_towers(towers / "clip", towers / "gpt2", **fields)
    model.processor = CaptionProcessor.from_towers(towers / "clip", towers / "gpt2")
    for name, parameter in model.named_parameters():
        torch.nn.init.constant_(parameter.data, 1.0) if name.endswith("gate") else None
    return model.eval()


@pytest.fixture
def model(captioner):
    """Undecided, as before a training."""
    captioner.generation_config = type(captioner.generation_config)(
        **{name: getattr(captioner.config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    )
    return captioner


@pytest.fixture(scope="module")
def few(tables, params):
    return tables.split("test").sample(12, params.seed)


def test_nothing_is_tried_where_the_user_has_decided():
    assert grid({"num_beams": 4, "length_penalty": 0.6}) == [{"num_beams": 4, "length_penalty": 0.6}]
    assert grid({"num_beams": 1, "no_repeat_ngram_size": 0}) == [{"num_beams": 1, "no_repeat_ngram_size": 0}]


def test_the_grid_begins_with_the_cheapest_and_stays_small():
    assert grid({})[0] == {"num_beams": 1}
    assert [setting["num_beams"] for setting in grid({})] == [1, 3, 3]
    assert grid({"length_penalty": 0.5})[1:] == [{"num_beams": 3, "length_penalty": 0.5}]


def test_ties_go_to_the_cheaper_and_degenerate_captions_never_win():
    greedy, beams = Trial({"num_beams": 1}, 1.001, None), Trial({"num_beams": 3}, 1.004, None)
    better, failed = Trial({"num_beams": 5}, 1.02, None), Trial({"num_beams": 5}, 2.0, "All empty.")
    assert Choice.among([greedy, beams]).best == greedy
    assert Choice.among([greedy, beams, better, failed]).best == better
    assert Choice.among([failed]).best == failed


def test_a_choice_is_kept_and_shown(tmp_path, capsys):
    from rich.console import Console

    trials = [Trial({"num_beams": 1}, 1.5, None), Trial({"num_beams": 3, "length_penalty": 0.0}, 0.0, "No.")]
    choice = Choice.among(trials)
    write_choice(choice, tmp_path)
    assert read_choice(tmp_path) == choice
    assert [(row["num_beams"], row["chosen"]) for row in choice.rows()] == [(1, True), (3, False)]
    Console(width=100).print(choice.table("mlp"))
    shown = capsys.readouterr().out
    assert "chosen" in shown and "degenerate" in shown and "1.500" in shown
    (tmp_path / "decoding.json").write_text("{")
    with pytest.raises(UserError, match="dvc repro train"):
        read_choice(tmp_path)


@pytest.fixture
def scored(monkeypatch, few):
    """The settings that were asked for. Scores are made up: three beams are best, `scored.greedy` aside, and
    even better without repetition."""

    class Asked(list):
        greedy = 1.0

    asked = Asked()

    def cider(captions, references):
        assert references.raw == few.references()
        beams, no_repeat = asked[-1]["num_beams"], asked[-1].get("no_repeat_ngram_size", 0)
        return {1: asked.greedy, 3: 3.0, 5: 2.0}[beams] + no_repeat / 10

    def spy(*args, **kwargs):
        asked.append({k: v for k, v in kwargs.items() if k != "progress"})
        return decode(*args, **kwargs | {"progress": None})

    monkeypatch.setattr(decoding, "cider", cider)
    monkeypatch.setattr(decoding, "decode", spy)
    monkeypatch.setattr(decoding, "degeneration", lambda *args: None)
    return asked


def test_more_beams_are_not_tried_where_a_few_do_not_help(model, few, store, scored):
    scored.greedy = 3.0
    prepare(model, {"max_new_tokens": 4}, longest=9, num_frames=1)
    choice = choose_decoding(model, few.references(), store.batch, {"max_new_tokens": 4})
    assert choice.best.setting == {"num_beams": 1, "no_repeat_ngram_size": 3}
    assert [setting["num_beams"] for setting in scored] == [1, 3, 3, 1]


def test_the_best_setting_is_given_to_the_model(model, few, store, scored):
    prepare(model, {"max_new_tokens": 4}, longest=9, num_frames=1)
    choice = choose_decoding(model, few.references(), store.batch, {"max_new_tokens": 4})
    assert choice.best.setting == {"num_beams": 3, "length_penalty": 0.0, "no_repeat_ngram_size": 3}
    assert [setting["num_beams"] for setting in scored] == [1, 3, 3, 5, 3]
    assert [trial.setting for trial in choice.trials] == scored
    config = model.generation_config
    assert (config.num_beams, config.length_penalty, config.no_repeat_ngram_size) == (3, 0.0, 3)
    assert config.max_new_tokens == 4


def test_a_caption_has_room_and_a_word(model, few, store):
    prepare(model, {}, longest=17, num_frames=1)
    assert model.generation_config.max_new_tokens == 20  # 16 beside BOS, and a quarter more
    prepare(model, {}, longest=400, num_frames=3)
    positions = model.config.text_config.n_positions
    assert model.generation_config.max_new_tokens == positions - 3 - 1
    with pytest.raises(UserError, match=f"max_new_tokens is {positions - 1}; .* room for {positions - 2}"):
        prepare(model, {"max_new_tokens": positions - 1}, longest=9, num_frames=1)
    prepare(model, {"max_new_tokens": positions - 2}, longest=9, num_frames=1)
    ids = list(few.images["image_id"])
    model.generate(**store.batch(ids[:2]))  # they do fit


def test_no_caption_begins_with_its_end(model, few, store, monkeypatch):
    """A model that would say nothing: the space before the end is by far the likeliest first token."""
    tokenizer = model.processor.tokenizer
    blank, end = tokenizer(f" {tokenizer.eos_token}", add_special_tokens=False)["input_ids"]
    head = type(model.text_generator).next_logits

    def silent(self, hidden):
        logits = head(self, hidden)
        logits[..., [blank, end]] = logits.max() + torch.tensor([5.0, 5.0])
        return logits

    monkeypatch.setattr(type(model.text_generator), "next_logits", silent)
    ids = list(few.images["image_id"])
    for beams in (1, 3):
        assert set(model.processor.batch_decode(model.generate(**store.batch(ids), num_beams=beams))) == {""}
    prepare(model, {}, longest=9, num_frames=1)
    for beams in (1, 3):
        captions = model.processor.batch_decode(model.generate(**store.batch(ids), num_beams=beams))
        assert all(captions)


def test_every_way_to_a_caption_decodes_alike(model, few, store, tmp_path, monkeypatch):
    """evaluate, caption, generate, flows.caption, a loaded registered model and the service, of one model."""
    import mlflow
    from mlflow.models import Model

    from components.registry import flavor
    from flows.caption_batches import Batch, caption_batch

    prepare(model, {"max_new_tokens": 11}, longest=9, num_frames=1)
    chosen = {"num_beams": 3, "length_penalty": 0.0, "no_repeat_ngram_size": 3}
    model.generation_config.update(**chosen)
    model.save_pretrained(tmp_path / "mlp")
    kept = json.loads((tmp_path / "mlp" / "generation_config.json").read_text())
    assert kept.items() >= (chosen | {"max_new_tokens": 11}).items()

    ids = list(few.images["image_id"])
    pictures = [few.open_image(image_id) for image_id in ids]
    loaded = CaptionModel.from_pretrained(tmp_path / "mlp")
    scored = list(decode(loaded, loaded.processor, ids, store.batch, progress=None).captions.values())
    with pytest.raises(AssertionError):  # it matters how
        assert model.caption(pictures, num_beams=1) == scored

    assert loaded.caption(pictures) == scored
    inputs = loaded.processor(images=pictures)
    assert loaded.processor.batch_decode(loaded.generate(**inputs)) == scored
    loaded.save_pretrained(tmp_path / "whole", include_towers=True)
    assert CaptionModel.from_pretrained(tmp_path / "whole").caption(pictures) == scored

    files = [tmp_path / f"{image_id}.png" for image_id in ids]
    for file, image_id in zip(files, ids, strict=True):
        file.write_bytes(few.slices(image_id)[0].read())
    batch = Batch(0, files)
    common = {"store": "sqlite:///none.db", "num_frames": 1, "bf16": False, "torch_compile": False}
    rows = caption_batch(batch, None, model=str(tmp_path / "mlp"), **common)
    assert [row["caption"] for row in rows] == scored

    logged = str(tmp_path / "logged")
    flavor.save_model(logged, Model(), captioner=loaded, example=data_uri(pictures[0]), card="")
    assert mlflow.pytorch.load_model(logged).caption(pictures) == scored
    service = mlflow.pyfunc.load_model(logged)
    assert list(service.predict([data_uri(picture) for picture in pictures])) == scored
    greedy = model.caption(pictures, num_beams=1)
    assert list(service.predict([data_uri(p) for p in pictures], params={"num_beams": 1})) == greedy


def test_options_that_say_nothing_together_are_refused():
    with pytest.raises(ValueError, match="num_beams 1 has no use for length_penalty 0.5"):
        tiny(train={"decoding": {"num_beams": 1, "length_penalty": 0.5}})
