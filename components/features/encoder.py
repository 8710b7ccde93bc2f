"""The frozen CLIP at work: hidden states and pooled embeddings of pictures, embeddings of captions."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from components.data.tables import Tables
from components.features.views import augment
from components.features.vision import VisionEncoder

WEIGHTS = ("model.safetensors", "preprocessor_config.json", "config.json")


def encoder_id(clip_folder: str | Path, feature_layer: int) -> str:
    """Hash of all that decides the features besides the picture: weights, preprocessing, layer."""
    digest = hashlib.sha256(f"layer {feature_layer}".encode())
    for name in WEIGHTS:
        path = Path(clip_folder) / name
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def load_clip(folder: str | Path) -> PreTrainedModel:
    """The CLIP or SigLIP in a tower folder, in eval mode and float32, even if stored in half of that."""
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


class ClipEncoder:
    """The CLIP of a tower folder with its own preprocessing; `feature_layer` as in `VisionEncoder`."""

    def __init__(self, clip_folder: str | Path, feature_layer: int = -1):
        self.folder, self.feature_layer = Path(clip_folder), feature_layer
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.clip = load_clip(clip_folder).to(self.device)
        self.vision = VisionEncoder(self.clip.vision_model, feature_layer)
        self.projection = getattr(self.clip, "visual_projection", nn.Identity())  # SigLIP has none
        self.processor = AutoImageProcessor.from_pretrained(clip_folder, backend="pil")

    @property
    def encoder_id(self) -> str:
        """See the function of this name."""
        return encoder_id(self.folder, self.feature_layer)

    def preprocess(self, pictures: Sequence[Image.Image]) -> Tensor:
        """[n x 3 x h x w], as the tower was trained."""
        return self.processor(list(pictures), return_tensors="pt")["pixel_values"]

    @torch.inference_mode()
    def __call__(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """[n x 3 x h x w] -> hidden states [n x num_tokens x width], unit embeddings [n x projection]."""
        hidden, outputs = self.vision.read(pixel_values.to(self.device))
        embeds = normalize(self.projection(outputs.pooler_output), dim=-1)
        return hidden.cpu(), embeds.cpu()

    def encode(
        self,
        tables: Tables,
        image_ids: Sequence[str],
        batch_size: int,
        progress: Callable[[int], None] = lambda n: None,
        views: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features and embeddings of `image_ids`, in order, a row a frame.

        Args:
            batch_size: frames at a time.
            progress: called with the number of frames after each batch.
            views: the augmented view of each image (`features.views`); None: the images as they are.
        """
        parts = []
        frames = _frames(tables, image_ids, views)
        while batch := list(islice(frames, batch_size)):
            parts.append(self(self.preprocess(batch)))
            progress(len(batch))
        features, embeds = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(embeds)


def _frames(
    tables: Tables, image_ids: Sequence[str], views: Sequence[int] | None = None
) -> Iterator[Image.Image]:
    """All frames of all images, one after the other; opened when asked for."""
    if views is None or not any(views):
        for image_id in image_ids:
            yield from tables.open_frames(image_id)
        return
    digests = dict(zip(tables.images["image_id"], tables.images["sha256"], strict=True))
    for image_id, view in zip(image_ids, views, strict=True):
        yield from augment(tables.open_frames(image_id), digests[image_id], view)


@torch.inference_mode()
def text_embeds(
    clip: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], batch_size: int = 256
) -> Tensor:
    """CLIP's text embeddings [n x D] of captions.

    Args:
        clip: a CLIP, or a SigLIP, which reads its padding and pools at the last position.
        tokenizer: its tokenizer. Captions longer than the text tower are cut, their end token kept.
    """
    # Of one length in a batch: little padding. Ties by text: a set has another order in every process.
    unique = sorted(set(captions), key=lambda caption: (len(caption), caption))
    limit, embeds = clip.config.text_config.max_position_embeddings, []
    siglip = clip.config.model_type == "siglip"
    padding, names = ("max_length", ["input_ids"]) if siglip else (True, ["input_ids", "attention_mask"])
    for start in range(0, len(unique), batch_size):
        batch = unique[start : start + batch_size]
        inputs = tokenizer(batch, padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        inputs = {name: inputs[name].to(clip.device) for name in names}
        embeds.append(clip.get_text_features(**inputs).pooler_output.float().cpu())
    row = {caption: index for index, caption in enumerate(unique)}
    return torch.cat(embeds)[[row[caption] for caption in captions]]
