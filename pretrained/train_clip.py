"""Stage `clip`: a small CLIPModel, pre-trained on pictures that are composed anew for every step.

    python -m pretrained.train_clip            goes on from its checkpoint, if there is one

Three losses, so that the patch tokens, which a captioner reads, hold what is where:

contrast   of picture and caption (Radford et al. 2021, figure 3)
captions   of a decoder that cross-attends to `last_hidden_state` and is thrown away (CoCa: Yu et al. 2022)
patches    which thing a patch shows, by a linear layer, thrown away, too (token labelling: Jiang et al. 2021)

Needs PyTorch, transformers, numpy and what the stages before wrote. On a GPU, more processes draw.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from components.data.scenes.grounds import GROUNDS
from pretrained.compose import IGNORED, Composer
from pretrained.optimizing import Losses, command_line, device, drawn, export, fit, make_optimizer
from pretrained.world import World, arrays

DATA, OUT = Path("pretrained/data"), Path("pretrained/clip")
CHECKPOINT = Path("pretrained/checkpoints/clip.pt")
LABELLED_PATCHES = 2048  # of a batch, at random: enough to learn from
CAPTIONS = 2  # a picture, for the decoder; the first one for the contrast, too
MAX_TOKENS = 32


class Batches(IterableDataset):
    """Endless batches: arrays for the composer, and the tokens of CAPTIONS captions a picture."""

    def __init__(self, settings: dict, seed: int, start: int = 0):
        self.settings, self.seed, self.start = settings, seed, start

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(f"{self.seed} {self.start} {worker.id if worker else 0}")
        world = World(DATA)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(OUT)
        while True:
            pictures = [world.picture(rng) for _ in range(self.settings["batch_size"])]
            texts = [caption for picture in pictures for caption in rng.sample(picture.captions, CAPTIONS)]
            tokens = tokenizer(
                texts, padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="np"
            )
            yield arrays(pictures) | {name: tokens[name] for name in ("input_ids", "attention_mask")}


def clip_config(settings: dict, tokenizer: PreTrainedTokenizerFast) -> CLIPConfig:
    """Both halves of one width, four-fold feed-forward, heads of 32."""
    shared = {
        "hidden_size": settings["width"],
        "intermediate_size": 4 * settings["width"],
        "num_attention_heads": settings["width"] // 32,
        "hidden_act": "gelu",
    }
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return CLIPConfig(
        vision_config=shared
        | {
            "num_hidden_layers": settings["vision_layers"],
            "image_size": settings["image_size"],
            "patch_size": settings["patch_size"],
        },
        text_config=shared
        | ends
        | {
            "num_hidden_layers": settings["text_layers"],
            "vocab_size": len(tokenizer),
            "max_position_embeddings": tokenizer.model_max_length,
        },
        projection_dim=settings["width"],
    )


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention, feed-forward, each after a norm.

    All captions of a picture ask it together, so its keys and values are computed once.
    """

    def __init__(self, width: int):
        super().__init__()
        self.heads = width // 32
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, states: Tensor, memory: Tensor) -> Tensor:
        """[B*CAPTIONS x L x D], [B x N x D] -> [B*CAPTIONS x L x D]."""
        shape = states.shape
        looked = self.attend(*self.qkv(self.norms[0](states)).chunk(3, dim=-1), causal=True)
        states = states + self.out(looked)
        asked = self.q(self.norms[1](states)).view(len(memory), -1, shape[-1])
        states = states + self.cross_out(self.attend(asked, *self.kv(memory).chunk(2, dim=-1))).view(shape)
        return states + self.mlp(self.norms[2](states))

    def attend(self, query: Tensor, key: Tensor, value: Tensor, causal: bool = False) -> Tensor:
        """Plain products: at these lengths faster than a CPU's fused kernel."""
        query, key, value = (x.unflatten(-1, (self.heads, 32)).transpose(1, 2) for x in (query, key, value))
        scores = query @ key.transpose(-1, -2) / 32**0.5
        if causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -torch.inf)
        return (scores.softmax(dim=-1).to(value.dtype) @ value).transpose(1, 2).flatten(2)


class Pretraining(nn.Module):
    """CLIP and the two heads that teach it and are thrown away."""

    def __init__(self, config: CLIPConfig, decoder_layers: int, labels: int):
        super().__init__()
        width, text = config.vision_config.hidden_size, config.text_config
        self.clip = CLIPModel(config)
        if not torch.cuda.is_available():
            self.clip.set_attn_implementation("eager")  # a CPU's fused kernel is slow backwards
        self.norm = nn.LayerNorm(width)
        self.patches = nn.Linear(width, labels)
        self.words = nn.Embedding(text.vocab_size, width)
        self.places = nn.Parameter(torch.randn(MAX_TOKENS, width) * 0.02)
        self.decoder = nn.ModuleList(DecoderLayer(width) for _ in range(decoder_layers))
        self.last_norm = nn.LayerNorm(width)
        nn.init.normal_(self.words.weight, std=0.02)

    def forward(self, pixels: Tensor, labels: Tensor, input_ids: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """[B x 3 x H x W], [B x patches], [B*CAPTIONS x L] twice -> the three losses."""
        vision = self.clip.vision_model(pixels)
        memory = self.norm(vision.last_hidden_state)
        return {
            "contrast": self.contrast(vision.pooler_output, input_ids[::CAPTIONS], mask[::CAPTIONS]),
            "captions": self.captioning(memory, input_ids, mask),
            "patches": self.labelling(memory[:, 1:], labels),
        }

    def contrast(self, pooled: Tensor, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Symmetric cross-entropy; equal captions count as positives of each other."""
        text = self.clip.text_model(input_ids=input_ids, attention_mask=mask).pooler_output
        image = F.normalize(self.clip.visual_projection(pooled), dim=-1)
        text = F.normalize(self.clip.text_projection(text), dim=-1)
        logits = self.clip.logit_scale.exp().clamp(max=100) * (text @ image.t()).float()
        same = (input_ids[:, None] == input_ids[None]).all(-1)
        targets = same / same.sum(-1, keepdim=True)
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.t(), targets)) / 2

    def captioning(self, memory: Tensor, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Cross-entropy a token, given the patch tokens [B x N x D]."""
        length = input_ids.shape[1] - 1
        states = self.words(input_ids[:, :-1]) + self.places[:length]
        for layer in self.decoder:
            states = layer(states, memory)
        states, real = self.last_norm(states), mask[:, 1:].bool()
        return F.cross_entropy((states[real] @ self.words.weight.t()).float(), input_ids[:, 1:][real])

    def labelling(self, memory: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the labels of some patches."""
        known = (labels != IGNORED).flatten().nonzero()[:, 0]
        known = known[torch.randperm(len(known), device=known.device)[:LABELLED_PATCHES]]
        return F.cross_entropy(self.patches(memory.flatten(0, 1)[known]).float(), labels.flatten()[known])


def write_processor(size: int) -> None:
    """How pictures become the tower's: resized, cut to a square of `size` pixels, scaled to [-1, 1]."""
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True, "size": {"shortest_edge": size}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": size, "width": size},
        "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_convert_rgb": True,
    }  # fmt: skip
    (OUT / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n")


def train(settings: dict, seed: int, minutes: float, init: bool) -> None:
    """Until `steps` or `minutes` are over; checkpoint every five minutes, export at the end."""
    torch.manual_seed(seed)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(OUT)
    world = World(DATA)
    labels = len(world.things) + len(GROUNDS) + 1
    model = Pretraining(clip_config(settings, tokenizer), settings["decoder_layers"], labels).to(device())
    if init and not CHECKPOINT.exists():
        model.clip.load_state_dict(CLIPModel.from_pretrained(OUT).state_dict())
    optimizer = make_optimizer(model, settings, outer=("embedding", "words", "places", "patches"))
    size = settings["image_size"]

    def losses_from(step: int) -> Iterator[Losses]:
        composer = Composer(
            DATA / "sprites.npz", size, settings["patch_size"], len(world.things), device(), seed + step
        )
        for batch in drawn(Batches(settings, seed, step), workers=14):
            text = [torch.as_tensor(batch.pop(name)).to(device()) for name in ("input_ids", "attention_mask")]
            pixels, patch_labels = composer({k: np.asarray(v) for k, v in batch.items()})
            with torch.autocast(device(), torch.bfloat16):
                losses = model(pixels, patch_labels, *text)
                loss = losses["contrast"] + 2 * losses["captions"] + 0.5 * losses["patches"]
            yield loss, losses

    fit(model, optimizer, CHECKPOINT, settings["steps"], minutes, losses_from)
    export(model.clip, OUT)
    write_processor(size)


def main() -> None:
    """The command line."""
    settings, arguments = command_line("clip", Path("pretrained/params.yaml"))
    train(settings, **arguments)


if __name__ == "__main__":
    main()
