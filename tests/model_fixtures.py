"""Tiny deterministic captioners, towers on disk, and the recordings of the reference system."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPVisionConfig,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from components.model import CaptionConfig, CaptionModel
from components.model.convert import from_reference

RECORDINGS = Path(__file__).parent / "data" / "recordings"
MANIFEST: dict[str, Any] = json.loads((RECORDINGS / "manifest.json").read_text())

VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
VISION |= {"image_size": 16, "patch_size": 8}  # 4 patches and the class token
TEXT = {"n_embd": 32, "n_layer": 4, "n_head": 2, "n_positions": 32, "vocab_size": 50}
TEXT |= {"bos_token_id": 49, "eos_token_id": 49}
BRIDGE = {"mapper_mlp_dim": 24, "mapper_depth": 2, "mapper_heads": 2, "mapper_dim_feedforward": 48}
BRIDGE |= {
    "resampler_depth": 2,
    "resampler_heads": 2,
    "resampler_dim_head": 8,
    "resampler_num_latents": 4,
    "resampler_num_time_embeds": 5,
}
BRIDGE |= {"cross_attention_heads": 3, "cross_attention_dim_head": 8}


@dataclass
class Recording:
    """One run of the reference: its inputs and outputs, and the same weights in our model."""

    entry: dict[str, Any]
    tensors: dict[str, Tensor]
    model: CaptionModel

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def images(self) -> dict[str, Tensor]:
        """`pixel_values` and `frame_mask`."""
        frames = torch.arange(self["in/pixel_values"].shape[1])
        return {
            "pixel_values": self["in/pixel_values"],
            "frame_mask": frames[None] < self["in/frame_count"][:, None],
        }

    @property
    def text(self) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask`."""
        return {"input_ids": self["in/tokens"], "attention_mask": self["in/tokens_mask"].long()}

    @property
    def full(self) -> Tensor:
        """[B] True where a clip has all its frames: there the reference is right."""
        return self.images["frame_mask"].all(dim=1)

    def alone(self, row: int) -> dict[str, Tensor]:
        """One clip without padding."""
        return {"pixel_values": self["in/pixel_values"][row : row + 1, : int(self["in/frame_count"][row])]}


def recording(name: str) -> Recording:
    """Load one by its name in the manifest."""
    tensors = load_file(RECORDINGS / f"{name}.safetensors")
    weights = {key.removeprefix("weights/"): t for key, t in tensors.items() if key.startswith("weights/")}
    return Recording(MANIFEST[name], tensors, from_reference(weights, MANIFEST[name]))


def tiny_config(**fields: Any) -> CaptionConfig:
    """A captioner of 32-wide towers; `fields` override."""
    towers = {"vision_config": CLIPVisionConfig(**VISION), "text_config": GPT2Config(**TEXT)}
    return CaptionConfig(**(towers | BRIDGE | fields))


def tiny_model(seed: int = 0, gates: float = 0.7, **fields: Any) -> CaptionModel:
    """The same with random weights, in eval mode; `gates` opens them, so that images matter."""
    torch.manual_seed(seed)
    model = CaptionModel(tiny_config(**fields))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_gate"):
                parameter.fill_(gates)
            elif "text_generator" in name and parameter.ndim > 1:
                parameter.mul_(5)  # GPT-2 starts at 0.02: its outputs would hardly depend on its inputs
    return model.eval()


def images(count: int = 3, frames: int = 1, seed: int = 1) -> Tensor:
    """[count x frames x 3 x 16 x 16] noise."""
    return torch.randn(count, frames, 3, 16, 16, generator=torch.Generator().manual_seed(seed))


def captions(rows: int = 3, length: int = 7, seed: int = 2) -> Tensor:
    """[rows x length] random tokens after BOS."""
    ids = torch.randint(0, 49, (rows, length), generator=torch.Generator().manual_seed(seed))
    ids[:, 0] = 49
    return ids


def write_towers(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """`clip` and `gpt2` as the stage `towers` leaves them: models, image processor, tokenizer."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    text = VISION | {"vocab_size": 60, "max_position_embeddings": 16, "bos_token_id": 0, "eos_token_id": 1}
    clip = CLIPModel(CLIPConfig(vision_config=VISION, text_config=text, projection_dim=16))
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    gpt2 = GPT2LMHeadModel(GPT2Config(**(TEXT | ends | {"vocab_size": len(tokenizer)})))
    clip.save_pretrained(folder / "clip")
    size = {"height": 16, "width": 16}
    CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size).save_pretrained(folder / "clip")
    gpt2.save_pretrained(folder / "gpt2")
    tokenizer.save_pretrained(folder / "gpt2")
    return folder / "clip", folder / "gpt2"


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with GPT-2's one special token."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    core.train_from_iterator(["a red apple to the left of two green apples", "three dogs"], trainer)
    end = "<|endoftext|>"
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=end, eos_token=end)
