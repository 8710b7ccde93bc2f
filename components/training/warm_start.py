"""`train.init`: a bridge that starts from the weights of another one, trained on the same towers."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from components.errors import UserError
from components.model import CaptionConfig, CaptionModel
from components.model.bridge import is_learned
from components.model.checkpoint import load_bridge, read_checkpoint
from components.variants import VARIANTS

SAME = ("mapper", "resampler", "feature_layer", "mapper_heads", "resampler_heads", "cross_attention_heads")
"""Fields of `CaptionConfig` that say what the tensors mean; their shapes show the others."""


@dataclass(frozen=True)
class Init:
    """Where to start from.

    Attributes:
        source: what the user calls it.
        config: of that captioner.
        tensors: its bridge, by name.
    """

    source: str
    config: CaptionConfig
    tensors: dict[str, Tensor]

    @classmethod
    def of_folder(cls, folder: str | Path, variant: str) -> Self | None:
        """Of a captioner that `save_pretrained` wrote, or of the one named `variant` in a folder of several;
        None if it is not among them. Towers are not needed.

        Raises:
            UserError: there is no captioner.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"train.init is '{folder}': no such folder, and no models:/NAME/VERSION.")
        if any((folder / name).is_dir() for name in VARIANTS):
            folder /= variant
            if not folder.is_dir():
                return None
        config, tensors = read_checkpoint(folder)
        return cls(str(folder), config, {name: t for name, t in tensors.items() if is_learned(name)})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the tensors."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    def give(self, model: CaptionModel) -> None:
        """Copy the bridge into `model`.

        Raises:
            UserError: `model` has other towers or another bridge.
        """
        for tower, ours in model.config.towers.items():
            found = self.config.towers[tower]["sha256"] if self.config.towers else "unknown"
            if found != ours["sha256"]:
                raise UserError(
                    f"train.init is '{self.source}': its {tower} tower (SHA-256 {found[:12]}) is not the one "
                    f"at '{ours['source']}' ({ours['sha256'][:12]}). Train with its towers, or set "
                    "train.init to null."
                )
        for name in SAME:
            theirs, ours = getattr(self.config, name), getattr(model.config, name)
            if theirs != ours:
                raise UserError(
                    f"train.init is '{self.source}': its {name} is {theirs!r}, here {ours!r}. Train the "
                    "variant that it is, with its `model`, or set train.init to null."
                )
        load_bridge(model, self.tensors, f"train.init is '{self.source}'")
