"""Towers small enough for tests: 32 wide, stored in float16 as those of the project, made in seconds."""

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import torch
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from components.data.scenes.build import plan
from pretrained.tokenizer import clip_tokenizer, gpt2_tokenizer, train_bpe

WIDTH, POSITIONS = 32, 128
STEPS, BATCH = 150, 64  # of GPT-2, until it knows more than how often words occur


@cache
def tiny_towers() -> Path:
    """A folder with `clip` (random weights) and `gpt2` (has read some captions), made once a process."""
    folder = Path(mkdtemp(prefix="tiny-towers-"))
    atexit.register(shutil.rmtree, folder)
    captions = [caption for _, _, texts in plan(400, seed=0) for caption in texts]
    write_towers(folder, captions)
    return folder


def write_towers(folder: Path, captions: list[str], vocab_size: int = 400) -> None:
    """Both towers with a vocabulary of `captions`."""
    torch.manual_seed(0)
    bpe = train_bpe(captions, vocab_size)
    for_clip, for_gpt2 = clip_tokenizer(bpe, POSITIONS), gpt2_tokenizer(bpe, POSITIONS)
    size = {"height": WIDTH, "width": WIDTH}
    processor = CLIPImageProcessorPil(size={"shortest_edge": WIDTH}, crop_size=size)
    for part in (random_clip(for_clip).half(), for_clip, processor):
        part.save_pretrained(folder / "clip")
    for part in (trained_gpt2(for_gpt2, captions).half(), for_gpt2):
        part.save_pretrained(folder / "gpt2")


def random_clip(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """Two layers over 16 patches, one over text."""
    shared = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 1}
    vision = shared | {"num_hidden_layers": 2, "image_size": WIDTH, "patch_size": 8}
    text = shared | {
        "num_hidden_layers": 1,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": POSITIONS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=WIDTH))


def trained_gpt2(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> GPT2LMHeadModel:
    """Two layers that have read captions in the captioner's format, several one after the other."""
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=POSITIONS,
            n_embd=WIDTH,
            n_layer=2,
            n_head=1,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            **ends,
        )
    )
    rows = tokenizer([f" {caption} {tokenizer.eos_token}" for caption in captions])["input_ids"]
    ids = torch.tensor([token for row in rows for token in row])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - 32, (BATCH, 1))
        batch = ids[starts + torch.arange(32)]
        logits = model(batch[:, :-1]).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()
