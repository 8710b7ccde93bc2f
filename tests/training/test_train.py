"""Training the bridge: it learns, the towers do not, and an interrupted run ends as if it had not been."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from components.config import Params
from components.errors import UserError
from components.evaluation.scoring.decode import decode
from components.evaluation.scoring.scorers import References, cider
from components.model import CaptionModel
from components.training.checkpoints import claim, fingerprint
from components.training.decoding import read_choice
from components.training.train import require_bridge_alone, train_variant
from components.training.trainer import CaptionTrainer
from tests.parameters import merged


class Interrupt(TrainerCallback):
    """Ctrl-C after a number of steps."""

    def __init__(self, step: int):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def trained(params, tables, store, towers, tmp_path_factory):
    """The folder of an undisturbed training, and its scores."""
    out, checkpoints = places(tmp_path_factory.mktemp("trained"))
    return out, train_variant(params, "mlp", tables, store, towers, out, checkpoints)


def test_the_loss_falls_and_the_gates_open(trained):
    history = json.loads((trained[0] / "history.json").read_text())
    losses = [record["loss"] for record in history if "loss" in record]
    assert losses[-1] < losses[0] - 0.02
    gates = [abs(v) for k, v in [r for r in history if "loss" in r][-1].items() if k.startswith("gate/")]
    assert gates and min(gates) > 1e-4
    assert all("val/CIDEr" in record for record in history if "val/loss" in record)


def test_the_towers_come_out_bit_identical(trained, towers, params):
    model = CaptionModel.from_pretrained(trained[0])
    fresh = CaptionModel.from_towers(towers / "clip", towers / "gpt2", feature_layer=-2)
    learned = set(model.bridge_state_dict())
    before, after = fresh.state_dict(), model.state_dict()
    frozen = [name for name in after if name not in learned]
    assert len(frozen) > 50 and all(torch.equal(before[name], after[name]) for name in frozen)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_caption_longer_than_the_language_model_is_refused_before_the_first_step(
    split, params, tables, store, towers, tmp_path
):
    """Not when a step comes to it, hours later; a caption of validation is read, too."""
    here = tables.captions["image_id"].isin(tables.split(split).images["image_id"])
    long = tables.captions["caption"].mask(here, "a red circle " * 900)
    changed = replace(tables, captions=tables.captions.assign(caption=long))
    asked = merged(params.model_dump(by_alias=True), {"train": {"max_tokens": 10_000}})
    with pytest.raises(UserError, match="the longest caption has .* lower train.max_tokens to"):
        train_variant(Params.model_validate(asked), "mlp", changed, store, towers, *places(tmp_path))
    assert not list(tmp_path.rglob("checkpoint-*"))


@pytest.mark.parametrize(
    ("name", "learns"), [("text_generator.lm.transformer.ln_f.bias", True), ("mapper.", False)]
)
def test_a_tower_that_would_learn_or_a_bridge_that_would_not_ends_the_training(name, learns, towers):
    model = CaptionModel.from_towers(towers / "clip", towers / "gpt2", feature_layer=-2)
    require_bridge_alone(model)
    changed = next(parameter for key, parameter in model.named_parameters() if key.startswith(name))
    changed.requires_grad_(learns)
    with pytest.raises(RuntimeError, match=f"parameters would be trained, the bridge has .*look at {name}"):
        require_bridge_alone(model)


def test_the_checkpoint_with_the_best_validation_captions_is_kept(trained):
    out, scores = trained
    history = json.loads((out / "history.json").read_text())
    assert scores["CIDEr"] == max(r["val/CIDEr"] for r in history if "val/CIDEr" in r)


def test_how_to_decode_is_chosen_on_validation_and_kept_with_the_model(trained, params, tables, store):
    out, scores = trained
    choice, config = read_choice(out), CaptionModel.from_pretrained(out).generation_config
    assert [trial.setting for trial in choice.trials] == [
        {"num_beams": 2, "length_penalty": 1.0},
        {"num_beams": 2, "length_penalty": 1.0, "no_repeat_ngram_size": 3},
    ]
    assert choice.best.setting.items() <= config.to_dict().items()
    assert config.max_new_tokens == params.train.decoding.max_new_tokens
    val = tables.split("val").sample(params.train.validation_images, params.seed)
    model = CaptionModel.from_pretrained(out)
    decoded = decode(model, model.processor, list(val.references()), store.batch, progress=None)
    assert cider(decoded.captions, References(val.references())) == choice.best.cider


def test_another_decoding_is_chosen_without_training_again(trained, params, tables, store, towers, tmp_path):
    """It changes no weight: an interrupted training goes on."""
    saved = first_checkpoint(trained[0])
    with pytest.raises(KeyboardInterrupt):
        train_variant(params, "mlp", tables, store, towers, *places(tmp_path), [Interrupt(saved + 1)])
    values = params.model_dump(by_alias=True)
    decoding = values["train"]["decoding"] | {"num_beams": 3}
    changed = Params.model_validate(values | {"train": values["train"] | {"decoding": decoding}})

    class First(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            assert state.global_step == saved
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_variant(changed, "mlp", tables, store, towers, *places(tmp_path), [First()])


def test_a_second_training_gives_the_same_weights(trained, params, tables, store, towers, tmp_path):
    train_variant(params, "mlp", tables, store, towers, *places(tmp_path))
    assert_equal_weights(trained[0], tmp_path / "mlp")


@pytest.mark.parametrize("later", [3, 7])
def test_an_interrupted_training_ends_with_the_same_weights(
    later, trained, params, tables, store, towers, tmp_path, capsys
):
    """Mid-epoch, after the first checkpoint: references, order, optimizer and schedule go on exactly."""
    out, checkpoints, saved = *places(tmp_path), first_checkpoint(trained[0])
    with pytest.raises(KeyboardInterrupt):
        train_variant(params, "mlp", tables, store, towers, out, checkpoints, [Interrupt(saved + later)])
    assert not out.exists()
    steps = []

    class Count(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            steps.append(state.global_step)

    train_variant(params, "mlp", tables, store, towers, out, checkpoints, [Count()])
    assert steps[0] == saved + 1, "it began anew"
    last = steps[-1]
    assert f"goes on from step {saved} of {last}, its last checkpoint\n" in capsys.readouterr().out
    assert_equal_weights(trained[0], out)


def test_a_kill_while_a_checkpoint_is_written_costs_that_checkpoint_alone(
    trained, params, tables, store, towers, tmp_path, monkeypatch
):
    out, checkpoints, saved = *places(tmp_path), first_checkpoint(trained[0])
    save = CaptionTrainer._save_rng_state

    def die(self, folder):
        if self.state.global_step > saved:
            raise KeyboardInterrupt
        save(self, folder)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CaptionTrainer, "_save_rng_state", die)
        train_variant(params, "mlp", tables, store, towers, out, checkpoints)
    assert [path.name for path in checkpoints.glob("checkpoint-*")] == [f"checkpoint-{saved}"]
    train_variant(params, "mlp", tables, store, towers, out, checkpoints)
    assert_equal_weights(trained[0], out)


def test_changed_parameters_begin_anew(params, tables, store, towers, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_variant(params, "mlp", tables, store, towers, *places(tmp_path), [Interrupt(15)])
    values = params.model_dump(by_alias=True)
    changed = Params.model_validate(values | {"train": values["train"] | {"learning_rate": 1e-4}})

    class First(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            assert state.global_step == 0, "resumed from a training with other parameters"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_variant(changed, "mlp", tables, store, towers, *places(tmp_path), [First()])


def test_a_folder_of_checkpoints_is_claimed_by_one_training(tmp_path):
    assert claim(tmp_path / "c", "a") is None
    (tmp_path / "c" / "checkpoint-10").mkdir()
    assert claim(tmp_path / "c", "a") == str(tmp_path / "c" / "checkpoint-10")
    assert claim(tmp_path / "c", "b") is None
    assert not (tmp_path / "c" / "checkpoint-10").exists()
    assert fingerprint(x=1) == fingerprint(x=1) != fingerprint(x=2)


@pytest.mark.parametrize("variant", ["transformer", "mlp-only", "resampler-only"])
def test_every_variant_trains(variant, params, tables, store, towers, tmp_path):
    values = params.model_dump(by_alias=True)
    short = Params.model_validate(values | {"train": values["train"] | {"epochs": 0.5, "validations": 1}})
    train_variant(short, variant, tables, store, towers, tmp_path / variant, tmp_path / "checkpoints")
    assert CaptionModel.from_pretrained(tmp_path / variant).processor is not None


def places(folder):
    """Where a model goes, and the checkpoints of its training."""
    return folder / "mlp", folder / "checkpoints"


def first_checkpoint(out) -> int:
    """The step of a training's first validation, after which it saves."""
    history = json.loads((out / "history.json").read_text())
    return next(record["step"] for record in history if "val/CIDEr" in record)


def assert_equal_weights(a, b):
    first, second = load_file(a / "model.safetensors"), load_file(b / "model.safetensors")
    assert first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_bfloat16_learns_as_float32_does(trained, params, tables, store, towers, tmp_path):
    """By autocast: what is saved is float32."""
    half = params.model_copy(update={"train": params.train.model_copy(update={"bf16": True})})
    train_variant(half, "mlp", tables, store, towers, *places(tmp_path))
    assert CaptionModel.from_pretrained(tmp_path / "mlp").dtype == torch.float32
    expected, found = (
        [r["loss"] for r in json.loads((folder / "history.json").read_text()) if "loss" in r]
        for folder in (trained[0], tmp_path / "mlp")
    )
    assert found == pytest.approx(expected, rel=0.02)
    assert found != expected
