"""Towers of a real size with random weights: what they compute is nothing, what they cost is true."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    CLIPConfig,
    CLIPImageProcessorPil,
    GPT2Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from components.towers.fetch import TowerName

FULL_SIZE = {"openai/clip-vit-base-patch32": CLIPConfig, "gpt2": GPT2Config}
"""Names on the hub whose configurations are the defaults of transformers: no need to ask the hub."""


def write_stand_in(tower: TowerName, config: PreTrainedConfig, vocabulary: Path, folder: Path) -> None:
    """A tower of `config` as a `save_pretrained` folder.

    Args:
        vocabulary: a tower's folder whose tokenizer it gets, filled up to its size.
    """
    torch.manual_seed(0)
    text = config.get_text_config()
    tokenizer = filled_up(vocabulary, text.vocab_size)
    tokenizer.model_max_length = text.max_position_embeddings
    text.bos_token_id, text.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
    kind = AutoModel if tower == "clip" else AutoModelForCausalLM
    for part in (kind.from_config(config), tokenizer):
        part.save_pretrained(folder)
    if tower == "clip":
        side = config.vision_config.image_size
        size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
        CLIPImageProcessorPil(**size).save_pretrained(folder)


def filled_up(folder: Path, size: int) -> PreTrainedTokenizerFast:
    """The tokenizer in `folder` with as many entries as `size`; nothing is ever made of the new ones."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    vocabulary |= {f"<unused {i}>": i for i in range(len(vocabulary), size)}
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))
    return tokenizer
