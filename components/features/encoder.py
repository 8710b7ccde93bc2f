"""The frozen CLIP at work: hidden states and pooled embeddings of pictures, embeddings of captions."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoImageProcessor, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from components.config import Params
from components.data.tables import Tables
from components.features.ahead import ahead, ahead_in_processes
from components.features.views import augment
from components.features.vision import VisionEncoder

GROUP = 8  # pictures that a reader opens at a time: less to do for each of them, and between them
FEW = 1024
"""Pictures for which no processes are started."""

WEIGHTS = ("model.safetensors", "preprocessor_config.json", "config.json")


def encoder_id(clip_folder: str | Path, feature_layer: int, bf16: bool = False) -> str:
    """Hash of all that decides the features besides the picture: weights, preprocessing, layer, precision.

    So a store never mixes features of two precisions.
    """
    digest = hashlib.sha256(f"layer {feature_layer}{', bfloat16' if bf16 else ''}".encode())
    for name in WEIGHTS:
        path = Path(clip_folder) / name
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


def load_clip(folder: str | Path) -> PreTrainedModel:
    """The CLIP or SigLIP in a tower folder, in eval mode and float32, even if stored in half of that."""
    return AutoModel.from_pretrained(folder, dtype=torch.float32).eval()


def takes_bf16(asked: bool | None) -> bool:
    """`asked`, or if that is None, whether there is a GPU that multiplies bfloat16."""
    if asked is None:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return asked


class ClipEncoder:
    """The CLIP of a tower folder with its own preprocessing, on the GPU if there is one.

    Args:
        feature_layer: as in `VisionEncoder`.
        bf16: multiply in bfloat16; what is added up stays float32.
        readers: open and preprocess pictures ahead of the tower. They change no number. Processes for many
            pictures on a GPU (`in_processes`), else threads.
    """

    def __init__(
        self, clip_folder: str | Path, feature_layer: int = -1, bf16: bool = False, readers: int = 0
    ):
        self.folder, self.feature_layer = Path(clip_folder), feature_layer
        self.bf16, self.readers = bf16, readers
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.in_processes = self.device == "cuda"  # a tower on the CPU is slower than two threads
        self.clip = load_clip(clip_folder).to(self.device)
        self.vision = VisionEncoder(self.clip.vision_model, feature_layer)
        self.projection = getattr(self.clip, "visual_projection", nn.Identity())  # SigLIP has none
        self.processor = AutoImageProcessor.from_pretrained(clip_folder, backend="pil")

    @classmethod
    def of(cls, params: Params, clip_folder: str | Path) -> Self:
        """As params.yaml has it, on this machine."""
        settings = params.features
        return cls(clip_folder, params.model.feature_layer, takes_bf16(settings.bf16), settings.readers)

    @property
    def encoder_id(self) -> str:
        """See the function of this name."""
        return encoder_id(self.folder, self.feature_layer, self.bf16)

    def fit(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Scaled and cropped as the tower was trained, still as bytes [n x 3 x h x w].

        What a reader does, so without PyTorch: each thread would bring threads of its own along.
        """
        whole = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
        return self.processor(list(pictures), **whole)["pixel_values"]

    def normalized(self, pixels: Tensor) -> Tensor:
        """What `fit` gives as the tower takes it (float32, same shape), on the encoder's device: to the bit
        what the processor makes of it.
        """
        values, processor = pixels.to(self.device, non_blocking=True), self.processor
        values = (values.double() * processor.rescale_factor if processor.do_rescale else values).float()
        if processor.do_normalize:
            values -= values.new_tensor(processor.image_mean).view(-1, 1, 1)
            values /= values.new_tensor(processor.image_std).view(-1, 1, 1)
        return values

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What `fit` gives -> hidden states [n x num_tokens x width], unit embeddings [n x projection].

        Both on the encoder's device, which may still be at work on them.
        """
        with torch.autocast(self.device, torch.bfloat16, enabled=self.bf16):
            hidden, outputs = self.vision.read(self.normalized(pixels))
        return hidden, normalize(self.projection(outputs.pooler_output.float()), dim=-1)

    def embeds(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Unit embeddings [n x projection] of a few pictures, at once, on the CPU."""
        return self(torch.from_numpy(self.fit(pictures)))[1].cpu()

    def encode(
        self,
        tables: Tables,
        image_ids: Sequence[str],
        batch_size: int,
        progress: Callable[[int], None] = lambda n: None,
        views: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Features (float16) and embeddings of `image_ids`, in order, a row a frame.

        Args:
            batch_size: frames at a time.
            progress: called with the number of frames after each batch.
            views: the augmented view of each image (`features.views`); None: the images as they are.
        """
        wanted = list(zip(image_ids, views or [0] * len(image_ids), strict=True))
        groups = [wanted[first : first + GROUP] for first in range(0, len(wanted), GROUP)]
        frames_of_a_clip = tables.images["num_frames"].mean() if "num_frames" in tables.images else 1

        def read(group: Sequence[tuple[str, int]]) -> np.ndarray:
            """Pictures and clips, one after the other [frames x 3 x h x w]."""
            seen: list[Image.Image] = []
            for image_id, view in group:
                frames = tables.open_frames(image_id)
                seen += augment(frames, tables.digests[image_id], view) if view else frames
            return self.fit(seen)

        parts = []
        open_ahead = ahead_in_processes if self.in_processes and len(wanted) > FEW else ahead
        depth = int(batch_size / frames_of_a_clip / GROUP) + 1
        pictures = open_ahead(read, groups, self.readers, depth)
        for batch in in_batches(pictures, batch_size):
            pixels = torch.from_numpy(np.concatenate(batch))
            # from pinned memory a GPU copies by itself
            features, embeds = self(pixels.pin_memory() if self.device == "cuda" else pixels)
            parts.append((features.half(), embeds))
            progress(len(pixels))
        features, embeds = zip(*parts, strict=True)
        # off the device once: until here a GPU goes on without waiting for us
        return torch.cat(features).cpu(), torch.cat(embeds).cpu()


def in_batches(parts: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Parts [n x ...] in lists of `size` rows, cut where a list is full; the last one may have fewer."""
    batch: list[np.ndarray] = []
    room = size
    for part in parts:
        while len(part) >= room:
            yield [*batch, part[:room]]
            part, batch, room = part[room:], [], size
        if len(part):
            batch.append(part)
            room -= len(part)
    if batch:
        yield batch


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
