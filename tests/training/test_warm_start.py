"""`train.init`: a training that starts from another bridge, of the same towers and shape, or not at all."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from components.errors import UserError
from components.model import CaptionModel
from components.model.configuration import bridge_fields
from components.training.train import train_variant
from components.training.warm_start import Init
from tests.parameters import tiny


def fresh(params, towers, seed=0, variant=("mlp", True), **fields) -> CaptionModel:
    torch.manual_seed(seed)
    fields = bridge_fields(params.model.model_dump(), *variant) | fields
    return CaptionModel.from_towers(towers / "clip", towers / "gpt2", **fields)


@pytest.fixture(scope="module")
def other(params, towers, tmp_path_factory):
    """The folder of a captioner with another bridge."""
    folder = tmp_path_factory.mktemp("other")
    fresh(params, towers, seed=5).save_pretrained(folder)
    return folder


class Stop(TrainerCallback):
    """Keeps the weights that the first step begins with, and the step; ends the training at `step`."""

    def __init__(self, step: int = 0):
        self.step, self.first, self.weights = step, None, None

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        if self.first is None:
            self.first = state.global_step
            self.weights = {name: tensor.clone() for name, tensor in model.bridge_state_dict().items()}
        if state.global_step == self.step:
            raise KeyboardInterrupt


def start(params, tables, store, towers, out, init=None, step=0) -> Stop:
    """Train until `step`."""
    stop = Stop(step)
    with pytest.raises(KeyboardInterrupt):
        train_variant(
            params, "mlp", tables, store, towers, out, out.with_name("checkpoints"), [stop], init=init
        )
    return stop


def test_training_starts_from_these_weights(params, tables, store, towers, other, tmp_path):
    began = start(params, tables, store, towers, tmp_path / "mlp", Init.of_folder(other, "mlp"))
    theirs = load_file(other / "model.safetensors")
    assert began.weights.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in began.weights.items())
    plain = start(params, tables, store, towers, tmp_path / "mlp")
    assert not all(torch.equal(tensor, theirs[name]) for name, tensor in plain.weights.items())


def test_a_training_from_another_bridge_resumes_no_other(params, tables, store, towers, other, tmp_path):
    """The same folder with other weights is another beginning."""
    folder, out = shutil.copytree(other, tmp_path / "init"), tmp_path / "mlp"
    saved = start(params, tables, store, towers, out, Init.of_folder(folder, "mlp"), step=15)
    assert saved.first == 0
    again = start(params, tables, store, towers, out, Init.of_folder(folder, "mlp"), step=15)
    assert again.first > 0, "the same beginning: it goes on"
    fresh(params, towers, seed=6).save_pretrained(folder)
    assert start(params, tables, store, towers, out, Init.of_folder(folder, "mlp")).first == 0
    assert Init.of_folder(folder, "mlp").digest != Init.of_folder(other, "mlp").digest


def test_a_model_in_memory_and_a_whole_export_will_do(params, towers, other, tmp_path):
    model = CaptionModel.from_pretrained(other)
    model.save_pretrained(tmp_path / "whole", include_towers=True)
    in_memory = Init("models:/captioner/3", model.config, model.bridge_state_dict())
    for init in (in_memory, Init.of_folder(tmp_path / "whole", "mlp")):
        own = fresh(params, towers)
        init.give(own)
        expected = model.bridge_state_dict()
        assert all(torch.equal(tensor, expected[n]) for n, tensor in own.bridge_state_dict().items())
        assert init.digest == Init.of_folder(other, "mlp").digest


def test_its_towers_need_not_be_there(params, towers, other, tmp_path):
    """Only their hashes count."""
    text = (other / "config.json").read_text()
    moved = shutil.copytree(other, tmp_path / "moved")
    (moved / "config.json").write_text(text.replace(str(towers), "/nowhere"))
    Init.of_folder(moved, "mlp").give(fresh(params, towers))


def test_other_towers_are_refused(params, towers, other, tmp_path):
    model = fresh(params, towers)
    for tower, name in (("vision", "clip"), ("text", "gpt2")):
        model.config.towers[tower]["sha256"] = "0" * 64
        with pytest.raises(UserError) as error:
            Init.of_folder(other, "mlp").give(model)
        told = str(error.value)
        assert f"its {tower} tower (SHA-256 " in told and name in told and "000000000000" in told
        assert "set train.init to null" in told
        model = fresh(params, towers)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"variant": ("transformer", True)}, "its mapper is 'mlp', here 'transformer'"),
        ({"variant": ("mlp", False)}, "its resampler is True, here False"),
        ({"feature_layer": -1}, "its feature_layer is -2, here -1"),
        ({"resampler_num_latents": 5}, r"resampler.latents' is \[4, 32\], expected \[5, 32\]"),
    ],
)
def test_another_bridge_is_refused(change, told, params, towers, other):
    with pytest.raises(UserError, match=told):
        Init.of_folder(other, "mlp").give(fresh(params, towers, **change))


def test_of_a_folder_of_several_each_variant_takes_its_own(params, towers, other, tmp_path):
    """As `pretrained/captioner` and `models` are; a variant that is not among them starts from nothing."""
    shutil.copytree(other, tmp_path / "mlp")
    assert Init.of_folder(tmp_path, "mlp").digest == Init.of_folder(other, "mlp").digest
    assert Init.of_folder(tmp_path, "transformer") is None


def test_no_captioner_there(tmp_path):
    with pytest.raises(UserError, match="train.init is 'nowhere': no such folder"):
        Init.of_folder("nowhere", "mlp")
    with pytest.raises(UserError, match="no model.safetensors that can be read"):
        Init.of_folder(tmp_path, "mlp")


def test_an_alias_is_pinned_to_its_version(params, towers, other, monkeypatch):
    from components.registry import versions as registry
    from flows.train import open_init

    asked = []
    monkeypatch.setattr(registry, "pinned", lambda uri: uri.replace("@champion", "/7"))
    monkeypatch.setattr(
        registry, "load_captioner", lambda uri: asked.append(uri) or CaptionModel.from_pretrained(other)
    )
    init = open_init("models:/captioner@champion", "mlp")
    assert asked == [init.source] == ["models:/captioner/7"]
    assert open_init(str(other), "mlp").digest == init.digest
    assert open_init(None, "mlp") is None


def test_params_know_it():
    assert tiny(train={"init": "models:/a@champion"}).train.init == "models:/a@champion"
