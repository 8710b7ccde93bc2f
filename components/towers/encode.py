"""The frozen vision tower at work: pictures in, hidden states and pooled embeddings out."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, CLIPModel

from components.data.tables import Tables

WEIGHTS = ("model.safetensors", "preprocessor_config.json", "config.json")


class VisionEncoder:
    """CLIP's vision half with its own preprocessing, from a tower folder.

    `feature_layer` picks the hidden states: -1 the last, -2 the penultimate, before CLIP's final layer norm.
    """

    def __init__(self, clip_folder: str | Path, feature_layer: int = -1):
        self.folder, self.feature_layer = Path(clip_folder), feature_layer
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.clip = CLIPModel.from_pretrained(clip_folder).eval().to(self.device)
        self.processor = AutoImageProcessor.from_pretrained(clip_folder, backend="pil")

    @property
    def encoder_id(self) -> str:
        """Hash of all that decides the features besides the picture: weights, preprocessing, layer."""
        digest = hashlib.sha256(f"layer {self.feature_layer}".encode())
        for name in WEIGHTS:
            path = self.folder / name
            if path.exists():
                digest.update(path.read_bytes())
        return digest.hexdigest()[:32]

    @torch.inference_mode()
    def __call__(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """[n x 3 x h x w] -> hidden states [n x num_tokens x width], unit embeddings [n x projection]."""
        outputs = self.clip.vision_model(pixel_values=pixel_values.to(self.device), output_hidden_states=True)
        embeds = normalize(self.clip.visual_projection(outputs.pooler_output), dim=-1)
        return outputs.hidden_states[self.feature_layer].cpu(), embeds.cpu()

    def encode(
        self,
        tables: Tables,
        image_ids: list[str],
        batch_size: int,
        progress: Callable[[int], None] = lambda n: None,
    ) -> tuple[Tensor, Tensor]:
        """Features and embeddings of `image_ids`, in order; `progress(n)` after each batch of n images."""
        parts = []
        for batch in self._batches(tables, image_ids, batch_size):
            parts.append(self(batch))
            progress(len(batch))
        features, embeds = zip(*parts, strict=True)
        return torch.cat(features), torch.cat(embeds)

    def _batches(self, tables: Tables, image_ids: list[str], batch_size: int) -> Iterator[Tensor]:
        for start in range(0, len(image_ids), batch_size):
            images = [tables.open_image(image_id) for image_id in image_ids[start : start + batch_size]]
            yield self.processor(images, return_tensors="pt")["pixel_values"]
