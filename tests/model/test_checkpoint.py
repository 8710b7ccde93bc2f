"""Saving and loading: the bridge alone, or everything."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi, RepoUrl
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from components.errors import UserError
from components.model import CaptionConfig, CaptionModel, CaptionProcessor
from tests.model_fixtures import BRIDGE, captions, images, write_towers

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def towers(tmp_path_factory) -> tuple[Path, Path]:
    return write_towers(tmp_path_factory.mktemp("towers"))


@pytest.fixture
def model(towers) -> CaptionModel:
    torch.manual_seed(3)
    model = CaptionModel.from_towers(*towers, **BRIDGE)
    with torch.no_grad():
        for parameter in model.bridge_parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.processor = CaptionProcessor.from_towers(*towers)
    return model


def _logits(model):
    with torch.no_grad():
        return model(pixel_values=images(), input_ids=captions()).logits


def test_from_towers_takes_every_tensor_of_the_towers(towers, model):
    vision = load_file(towers[0] / "model.safetensors")
    text = load_file(towers[1] / "model.safetensors")
    for name, tensor in model.vision_encoder.vision.state_dict().items():
        assert torch.equal(tensor, vision[f"vision_model.{name}"])
    for name, tensor in model.text_generator.lm.state_dict().items():
        if "gated" not in name and name != "lm_head.weight":
            assert torch.equal(tensor, text[name])
    assert not model.training


def test_the_bridge_alone_is_stored_and_comes_back(model, tmp_path):
    model.save_pretrained(tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == model.bridge_state_dict().keys()
    size = (tmp_path / "model.safetensors").stat().st_size
    learned = 4 * sum(p.numel() for p in model.bridge_parameters())
    assert learned <= size < 1.2 * learned + 10_000
    loaded = CaptionModel.from_pretrained(tmp_path)
    assert torch.equal(_logits(loaded), _logits(model))
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == set(stored)


def test_the_full_size_bridge_is_156_megabytes():
    with torch.device("meta"):
        model = CaptionModel(CaptionConfig())
    assert sum(4 * tensor.numel() for tensor in model.bridge_state_dict().values()) == 4 * 39_026_456


def test_a_self_contained_export_needs_no_towers(model, towers, tmp_path):
    model.save_pretrained(tmp_path, include_towers=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["towers"]["vision"]["source"] = config["towers"]["text"]["source"] = "/nowhere"
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = CaptionModel.from_pretrained(tmp_path)
    assert torch.equal(_logits(loaded), _logits(model))
    assert {n for n, p in loaded.named_parameters() if p.requires_grad} == set(model.bridge_state_dict())
    assert loaded.num_parameters() == model.num_parameters()


def test_another_tower_is_refused(model, towers, tmp_path):
    model.save_pretrained(tmp_path / "bridge")
    other = write_towers(tmp_path / "other", seed=1)
    with pytest.raises(
        UserError, match="vision tower .* is not the one that this bridge was trained on.*clip="
    ):
        CaptionModel.from_pretrained(tmp_path / "bridge", clip=other[0])
    with pytest.raises(UserError, match="text tower .* is not the one.*gpt2="):
        CaptionModel.from_pretrained(tmp_path / "bridge", gpt2=other[1])


def test_towers_may_have_moved(model, towers, tmp_path):
    model.save_pretrained(tmp_path / "bridge")
    for tower in towers:
        shutil.copytree(tower, tmp_path / "moved" / tower.name)
    moved = tmp_path / "moved"
    loaded = CaptionModel.from_pretrained(tmp_path / "bridge", clip=moved / "clip", gpt2=moved / "gpt2")
    assert torch.equal(_logits(loaded), _logits(model))


def test_auto_classes(model, tmp_path):
    model.save_pretrained(tmp_path)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), CaptionConfig)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), CaptionProcessor)
    for auto in (AutoModel, AutoModelForImageTextToText):
        loaded = auto.from_pretrained(tmp_path)
        assert isinstance(loaded, CaptionModel)
        assert torch.equal(_logits(loaded), _logits(model))


def test_the_processor_travels_with_the_model(model, tmp_path):
    picture = Image.new("RGB", (20, 30), "red")
    expected = model.caption([picture, picture], max_new_tokens=5)
    assert len(expected) == 2
    assert all(isinstance(caption, str) for caption in expected)
    model.save_pretrained(tmp_path)
    assert CaptionModel.from_pretrained(tmp_path).caption(picture, max_new_tokens=5) == expected[:1]


def test_what_is_pushed_to_the_hub_has_processor_and_code_too(model, tmp_path, monkeypatch):
    """Only the two calls that reach the hub are replaced."""
    pushed = {}

    def commit(api, repo_id, operations, **kwargs):
        pushed[repo_id] = {operation.path_in_repo for operation in operations}

    def create(api, repo_id, **kwargs):
        return RepoUrl(f"https://huggingface.co/me/{repo_id}")

    monkeypatch.setattr(HfApi, "create_repo", create)
    monkeypatch.setattr(HfApi, "create_commit", commit)
    needed = {"config.json", "model.safetensors", "processor_config.json", "tokenizer.json"}
    model.save_pretrained(tmp_path / "captioner", include_towers=True, push_to_hub=True)
    (names,) = pushed.values()
    assert names >= needed | {"model_captioner.py", "model_pipeline.py"}
    model.push_to_hub("whole")
    assert pushed["me/whole"] == names


def test_a_pickled_model_is_the_same_in_a_fresh_process(model, tmp_path):
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(model))
    program = (
        "import pickle, sys; from PIL import Image; model = pickle.load(open(sys.argv[1], 'rb'));"
        "print(model.caption(Image.new('RGB', (20, 30), 'red'), max_new_tokens=5))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "model.pkl")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(model.caption(Image.new("RGB", (20, 30), "red"), max_new_tokens=5))


def test_a_saved_checkpoint_is_replaced_whole(model, tmp_path):
    """Saving twice leaves the second; no scratch files stay."""
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        next(iter(model.bridge_parameters())).zero_()
    model.save_pretrained(tmp_path)
    assert torch.equal(_logits(CaptionModel.from_pretrained(tmp_path)), _logits(model))
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("include_towers", [False, True])
def test_all_files_of_a_checkpoint_have_the_mode_of_any_new_file(model, tmp_path, include_towers):
    (tmp_path / "new").touch()
    model.save_pretrained(tmp_path, include_towers=include_towers)
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize("include_towers", [False, True])
def test_a_checkpoint_of_another_shape_is_refused(model, tmp_path, include_towers):
    model.save_pretrained(tmp_path, include_towers=include_towers)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["resampler.latents"] = torch.zeros(7, 32)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"resampler\.latents"):
        CaptionModel.from_pretrained(tmp_path)


def test_a_checkpoint_that_lacks_a_tensor_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["resampler.norm.bias"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"resampler\.norm\.bias.*no such tensor"):
        CaptionModel.from_pretrained(tmp_path)


def test_a_half_written_checkpoint_is_refused(model, tmp_path):
    model.save_pretrained(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"no model\.safetensors that can be read"):
        CaptionModel.from_pretrained(tmp_path)


def test_towers_that_have_moved_are_asked_for(model, towers, tmp_path):
    model.config.towers["text"]["source"] = "/nowhere"
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"/nowhere.*pass clip=\.\.\. and gpt2=\.\.\."):
        CaptionModel.from_pretrained(tmp_path)


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(UserError, match="no captioner is saved there"):
        CaptionModel.from_pretrained(tmp_path / "missing")


def test_the_trainer_saves_and_restores_the_bridge_alone(model, tmp_path, caplog):
    """transformers' Trainer: its checkpoints hold the bridge, the best one is loaded without a complaint."""
    from transformers import Trainer, TrainingArguments

    rows = [
        {"input_ids": ids, "labels": ids, "pixel_values": p}
        for ids, p in zip(captions(), images(), strict=True)
    ]
    arguments = TrainingArguments(
        str(tmp_path), num_train_epochs=2, per_device_train_batch_size=3, learning_rate=1e-2,
        report_to="none", eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True,
        remove_unused_columns=False, disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(model, arguments, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    saved = load_file(Path(trainer.state.best_model_checkpoint) / "model.safetensors")
    assert saved.keys() == model.bridge_state_dict().keys()
    for name, tensor in model.bridge_state_dict().items():
        assert torch.equal(tensor, saved[name])
    assert "missing keys" not in caplog.text
