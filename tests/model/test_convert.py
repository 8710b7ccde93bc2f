"""Checkpoints as the reference's trainer saves them."""

import copy

import pytest
import torch

from components.errors import UserError
from components.model import CaptionModel
from components.model.convert import convert, from_reference, main
from components.model.reference import config_of_reference, entry_of_checkpoint
from tests.model_fixtures import MANIFEST, recording

torch.set_num_threads(1)
NAME = "video_mlp_resampler"


@pytest.fixture(scope="module")
def run():
    return recording(NAME)


@pytest.fixture
def checkpoint(run):
    """As `torch.save` in the reference's trainer; the towers are known by name alone."""
    weights = {k.removeprefix("weights/"): t for k, t in run.tensors.items() if k.startswith("weights/")}
    config = copy.deepcopy(run.entry["config"])
    return {"model_state_dict": weights, "model_cfg": config, "optimizer_state_dict": {"step": 1}, "epoch": 3}


def test_a_checkpoint_becomes_a_self_contained_model(run, checkpoint, tmp_path, monkeypatch, capsys):
    torch.save(checkpoint, tmp_path / "best.pt")
    monkeypatch.setattr("sys.argv", ["convert", str(tmp_path / "best.pt"), str(tmp_path / "out")])
    main()
    assert "459,320 parameters, 132,216 of them in the bridge; all tensors fit" in capsys.readouterr().out
    model = CaptionModel.from_pretrained(tmp_path / "out")
    with torch.no_grad():
        expected = run.model(**run.images, **run.text).logits
        assert torch.equal(model(**run.images, **run.text).logits, expected)


def test_towers_are_recognised_by_name_or_by_their_tensors(run, checkpoint):
    inferred = entry_of_checkpoint(checkpoint["model_cfg"], checkpoint["model_state_dict"])
    for tower in ("vision", "text"):
        renamed = {"num_attention_heads": "num_attention_heads", "bos": "bos", "eos": "eos"}
        for key, value in run.entry[tower].items():
            assert inferred[tower][renamed.get(key, key)] == value
    checkpoint["model_cfg"]["vision"]["pretrained_name"] = "openai/clip-vit-base-patch32"
    checkpoint["model_cfg"]["text"]["pretrained_name"] = "gpt2"
    config = config_of_reference(entry_of_checkpoint(checkpoint["model_cfg"], {}))
    assert config.vision_config.hidden_size == config.text_config.hidden_size == 768
    assert config.bos_token_id == 50256


def test_tensors_that_do_not_fit_are_all_named(checkpoint, tmp_path):
    weights = checkpoint["model_state_dict"]
    del weights["resampler.latents"]
    weights["resampler.surplus"] = torch.zeros(2)
    weights["resampler.norm.bias"] = torch.zeros(3)
    torch.save(checkpoint, tmp_path / "best.pt")
    with pytest.raises(UserError) as error:
        convert(tmp_path / "best.pt", tmp_path / "out")
    message = str(error.value)
    assert "3 tensors do not fit" in message
    assert "'resampler.latents' is missing" in message
    assert "'resampler.surplus' is unknown" in message
    assert "'resampler.norm.bias' is (3,), expected (64,)" in message
    assert not (tmp_path / "out").exists()


class Trap:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_the_file_is_run(checkpoint, tmp_path):
    checkpoint["model_cfg"]["trap"] = Trap(tmp_path / "sprung")
    torch.save(checkpoint, tmp_path / "best.pt")
    with pytest.raises(UserError, match="could run code"):
        convert(tmp_path / "best.pt", tmp_path / "out")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no checkpoint at all", "no checkpoint of PyTorch"),
        ({"state_dict": {}}, "no 'model_state_dict' in it"),
        ({"model_state_dict": {}}, "no 'model_cfg' in it"),
        ({"model_state_dict": {}, "model_cfg": {}}, "lacks vision.pretrained_name"),
    ],
    ids=["garbage", "no-weights", "no-configuration", "empty-configuration"],
)
def test_files_that_are_no_such_checkpoint(content, message, tmp_path):
    path = tmp_path / "best.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(UserError, match=message):
        convert(path, tmp_path / "out")
    with pytest.raises(UserError, match="no such file"):
        convert(tmp_path / "missing.pt", tmp_path / "out")


def test_configurations_that_lack_a_key_or_cannot_be(run):
    weights, entry = {}, copy.deepcopy(run.entry)
    entry["config"]["resampler"]["activation"] = "swish7"
    with pytest.raises(UserError, match="swish7"):
        from_reference(weights, entry)
    del entry["config"]["resampler"]["depth"], entry["config"]["text"]["xattn"]["activation"]
    with pytest.raises(UserError, match="lacks the key 'activation'"):
        from_reference(weights, entry)


def test_every_recorded_configuration_is_understood():
    for entry in MANIFEST.values():
        config = config_of_reference(entry)
        assert config.resampler == entry["config"]["enable_resampler_xattn"]
        assert config.cross_attention_every == entry["config"]["text"]["xattn"]["freq"]
