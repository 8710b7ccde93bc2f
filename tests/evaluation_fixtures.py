"""A small corpus of captions and three systems that answer for it."""

import random

import torch
from transformers import CLIPImageProcessorPil

from components.model import CaptionConfig, CaptionModel, CaptionProcessor
from pretrained.tokenizer import gpt2_tokenizer, train_bpe

CAPTIONS = [
    "a dog on a blue ground",
    "two red cars",
    "a cat to the left of a tree",
    "three green apples",
    "a sheep",
]
IMAGES = [f"image-{index}" for index in range(7)]

THINGS = ["dog", "red car", "snowman", "café table", "sheep", "green apple", "tiger", "guitar"]
PLACES = ["on a blue ground", "to the left of a", "under the", "beside two"]
TRICKY = "Don't (ever) say \u201cnaïve\u201d: it's 3 1/2 o'clock -- well...\u2028next\rline"


def corpus(count: int = 40, seed: int = 0) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """References (five an image) and the captions of three systems, with the texts that break a careless
    tokenizer.
    """
    draw = random.Random(seed)
    sentence = lambda: f"A {draw.choice(THINGS)} {draw.choice(PLACES)} {draw.choice(THINGS)}."  # noqa: E731
    references = {f"image-{index}": [sentence() for _ in range(5)] for index in range(count)}
    references["image-3"][1] = TRICKY
    copies = {image_id: several[0].upper() for image_id, several in references.items()}
    guesses = {image_id: sentence() for image_id in references}
    guesses["image-1"], guesses["image-3"] = "", TRICKY.replace("well", "very well")
    return references, {"copy": copies, "guess": guesses, "constant": dict.fromkeys(references, "a dog")}


def small_captioner() -> tuple:
    """Model, processor and features: random weights, open gates and a loud bridge, so that images matter."""
    bpe = train_bpe(CAPTIONS * 3, 320)
    tokenizer = gpt2_tokenizer(bpe, 32)
    torch.manual_seed(0)
    config = CaptionConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        text_config={
            "model_type": "gpt2",
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 64,
            "vocab_size": len(tokenizer),
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        mapper="mlp",
    )
    model = CaptionModel(config)
    with torch.no_grad():
        for weight in model.bridge_parameters():
            weight.copy_(torch.full_like(weight, 2.0) if weight.numel() == 1 else 4 * weight)
    features = dict(zip(IMAGES, torch.randn(len(IMAGES), 1, 5, 32) * 3, strict=True))
    return (
        model,
        CaptionProcessor(CLIPImageProcessorPil(), tokenizer),
        lambda ids: {"vision_features": torch.stack([features[i] for i in ids])},
    )
