"""Contrastive pre-training of a small `CLIPModel` (Radford et al. 2021, figure 3)."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, PreTrainedTokenizerFast, Trainer

from components.config import OfflineTowers
from components.data.tables import Tables
from components.towers.attention import choose_attention
from components.training.arguments import training_arguments

IMAGE_MEAN = IMAGE_STD = (0.5, 0.5, 0.5)


def image_processor(image_size: int) -> CLIPImageProcessorPil:
    """The preprocessing that the small tower is trained with: resize, centre crop, scale to [-1, 1]."""
    return CLIPImageProcessorPil(
        size={"shortest_edge": image_size},
        crop_size={"height": image_size, "width": image_size},
        image_mean=IMAGE_MEAN,
        image_std=IMAGE_STD,
    )


def clip_config(params: OfflineTowers, tokenizer: PreTrainedTokenizerFast) -> CLIPConfig:
    """Both halves of one width, four-fold feed-forward, heads of 32 or wider."""
    heads = max(1, params.width // 32)
    shared = {
        "hidden_size": params.width,
        "intermediate_size": 4 * params.width,
        "num_attention_heads": heads,
        "hidden_act": "gelu",  # one fused kernel; CLIP's quick_gelu is two and as good
    }
    return CLIPConfig(
        vision_config=shared
        | {
            "num_hidden_layers": params.vision_layers,
            "image_size": params.image_size,
            "patch_size": params.patch_size,
        },
        text_config=shared
        | {
            "num_hidden_layers": params.text_layers,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": tokenizer.model_max_length,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        projection_dim=params.width,
    )


def contrastive_loss(logits_per_text: Tensor, input_ids: Tensor) -> Tensor:
    """Symmetric cross-entropy over the batch, [n x n] logits, where equal captions count as positives of each
    other.

    In a small caption domain the same sentence occurs twice in a batch; calling the twin a negative would
    teach the tower to tell apart what is the same.
    """
    same = (input_ids[:, None] == input_ids[None]).all(-1)
    targets = same / same.sum(-1, keepdim=True)
    return (F.cross_entropy(logits_per_text, targets) + F.cross_entropy(logits_per_text.t(), targets)) / 2


class PairCollator:
    """Draws one caption of each image and shifts, brightens or darkens the picture a little.

    Takes row numbers into `pixels` ([n x 3 x h x w], uint8) and `tokens` (one list of token ids per
    reference, per image).
    """

    def __init__(
        self, pixels: Tensor, tokens: list[list[list[int]]], pad_token_id: int, seed: int, shift: int = 4
    ):
        self.pixels, self.tokens, self.pad_token_id, self.shift = pixels, tokens, pad_token_id, shift
        self.rng = np.random.default_rng(seed)

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        captions = [self.tokens[row][self.rng.integers(len(self.tokens[row]))] for row in rows]
        input_ids = torch.full((len(rows), max(map(len, captions))), self.pad_token_id)
        for target, caption in zip(input_ids, captions, strict=True):
            target[: len(caption)] = torch.tensor(caption)
        lengths = torch.tensor([len(caption) for caption in captions])
        mask = (torch.arange(input_ids.shape[1]) < lengths[:, None]).long()
        return {
            "pixel_values": self.augment(self.pixels[rows]),
            "input_ids": input_ids,
            "attention_mask": mask,
        }

    def augment(self, pixels: Tensor) -> Tensor:
        """Shift by up to `shift` pixels (edges repeated) and scale the brightness by 0.85-1.15: [n x 3 x h x
        w] in [-1, 1]."""
        dy, dx = self.rng.integers(-self.shift, self.shift + 1, 2)
        height, width = pixels.shape[-2:]
        rows = (torch.arange(height) + int(dy)).clamp(0, height - 1)
        columns = (torch.arange(width) + int(dx)).clamp(0, width - 1)
        images = pixels[:, :, rows][:, :, :, columns].float() / 255
        brightness = torch.from_numpy(self.rng.uniform(0.85, 1.15, (len(images), 1, 1, 1)).astype(np.float32))
        return (images * brightness).clamp(0, 1).mul(2).sub(1)


def visible_patches(embeddings: Tensor, mask_ratio: float) -> Tensor:
    """The class token and a random choice of each picture's patches: [n x 1+N x D] -> [n x 1+k x D], where
    `mask_ratio` of the N are left out (Li et al. 2023, "Scaling Language-Image Pre-training via Masking",
    section 3).

    The encoder has so much less to do, and no patch can leave it to its neighbours to say what is there.
    """
    pictures, patches = embeddings.shape[0], embeddings.shape[1] - 1
    kept = max(1, round(patches * (1 - mask_ratio)))
    order = torch.rand(pictures, patches, device=embeddings.device).argsort(dim=1)[:, :kept] + 1
    order = F.pad(order, (1, 0))  # the class token stands at 0
    return embeddings.gather(1, order[..., None].expand(-1, -1, embeddings.shape[-1]))


class ContrastiveTrainer(Trainer):
    """`Trainer` with the contrastive loss above."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """See `contrastive_loss`."""
        outputs = model(**inputs)
        loss = contrastive_loss(outputs.logits_per_text.float(), inputs["input_ids"])
        return (loss, outputs) if return_outputs else loss


def load_pixels(tables: Tables, image_size: int) -> Tensor:
    """All pictures of `tables` in memory, resized: [n x 3 x image_size x image_size], uint8."""
    resize = image_processor(image_size)
    plain = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
    # One by one: photographs need much memory until they are small.
    images = (tables.open_image(image_id) for image_id in tables.images["image_id"])
    return torch.cat([resize(image, **plain)["pixel_values"].to(torch.uint8) for image in images])


def pretrain_clip(
    tables: Tables, tokenizer: PreTrainedTokenizerFast, params: OfflineTowers, seed: int, workdir: Path
) -> CLIPModel:
    """Train a `CLIPModel` from scratch on the pictures and captions of `tables` (the training split)."""
    torch.manual_seed(seed)
    model = CLIPModel(clip_config(params, tokenizer))
    choose_attention(model)
    references = tables.references()
    tokens = [tokenizer(references[image_id])["input_ids"] for image_id in tables.images["image_id"]]
    collator = PairCollator(load_pixels(tables, params.image_size), tokens, tokenizer.pad_token_id, seed)
    arguments = training_arguments(
        workdir,
        seed=seed,
        epochs=params.clip_epochs,
        batch_size=min(params.clip_batch_size, len(tokens)),
        learning_rate=params.clip_learning_rate,
        dataloader_drop_last=True,  # a short last batch has fewer negatives
    )
    trainer = ContrastiveTrainer(model, arguments, data_collator=collator, train_dataset=range(len(tokens)))
    masking = model.vision_model.embeddings.register_forward_hook(
        lambda module, inputs, embeddings: visible_patches(embeddings, params.clip_mask_ratio)
    )
    trainer.train()
    masking.remove()
    return model.eval()
