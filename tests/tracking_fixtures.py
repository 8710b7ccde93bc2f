"""A project folder of its own for each test, and a captioner small enough for one."""

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from components.model import CaptionConfig, CaptionModel, CaptionProcessor

WORDS = ["a", "red", "apple", "left", "of", "two", "green", "cars", "and", "three", "dogs", "blue", "house"]


def tiny_captioner(seed: int = 0, resampler: bool = True, mapper: str = "mlp") -> CaptionModel:
    """Different seeds give different captions; its gates are open, so that pictures matter."""
    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = CaptionConfig(
        vision_config=_vision(),
        text_config=_text(tokenizer),
        mapper=mapper,
        mapper_mlp_dim=16,
        resampler=resampler,
        resampler_depth=1,
        resampler_heads=2,
        resampler_dim_head=8,
        resampler_num_latents=4,
        resampler_num_time_embeds=4,
        cross_attention_heads=2,
        cross_attention_dim_head=8,
    )
    model = CaptionModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 1.0 if "gate" in name else 0.3)
    size = {"height": 16, "width": 16}
    images = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size)
    model.processor = CaptionProcessor(images, tokenizer)
    return model


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """Coloured noise."""
    draw = np.random.default_rng(seed)
    return [Image.fromarray(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(count)]


def _vision() -> dict:
    return {
        "model_type": "clip_vision_model",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
    }


def _text(tokenizer: PreTrainedTokenizerFast) -> dict:
    return {
        "model_type": "gpt2",
        "vocab_size": len(tokenizer),
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "n_positions": 64,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def _tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, show_progress=False, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    ends = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends)


PARAMS = {
    "seed": 0,
    "towers": {"clip": "pretrained/clip", "gpt2": "pretrained/gpt2"},
    "variants": ["mlp", "transformer"],
    "train": {"learning_rate": 3e-3, "epochs": 2, "resume": True, "limit": None, "sizes": [1, 2]},
    "evaluate": {"num_beams": 2},
}


def enter_project(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make `folder` the current project, with no tracking server configured."""
    folder.mkdir(parents=True, exist_ok=True)
    patch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "DVC_STAGE", "DVC_EXP_NAME"):
        patch.setenv(name, "")  # so that what MLflow sets is undone, too
        patch.delenv(name)
    patch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    return folder


def per_image(shift: dict[str, float], images: int = 60, seed: int = 0) -> pd.DataFrame:
    """The evaluate stage's table: system -> mean CIDEr, with the same noise a picture for every system."""
    noise = np.random.default_rng(seed).normal(0, 0.3, images)
    ids = [f"image-{index}" for index in range(images)]
    tables = [
        pd.DataFrame({"image_id": ids, "system": system, "caption": "a dog", "CIDEr": mean + noise})
        for system, mean in shift.items()
    ]
    return pd.concat(tables, ignore_index=True)
