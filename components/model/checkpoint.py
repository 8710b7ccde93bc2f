"""Saving the bridge, and finding its towers again."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from transformers.utils import cached_file

from components.errors import UserError
from components.model.configuration import CaptionConfig, check_bridge_fields
from components.model.towers import fingerprint, load_text, load_vision, text_config_of, vision_config_of

WEIGHTS = "model.safetensors"


class CheckpointMixin:
    """`from_towers`, `save_pretrained`, `from_pretrained`."""

    @classmethod
    def from_towers(cls, clip: str | Path, gpt2: str | Path, **fields: Any) -> "CheckpointMixin":
        """Two pretrained towers and a fresh bridge.

        Args:
            clip: folder or hub name of a CLIP or SigLIP model, or of its vision tower
            gpt2: folder or hub name of a GPT-2
            fields: of `CaptionConfig`; see `BRIDGE_FIELDS`

        Raises:
            UserError: an unknown backbone or field.
        """
        config = CaptionConfig(
            vision_config=vision_config_of(clip), text_config=text_config_of(gpt2), **check_bridge_fields(fields)
        )
        return cls._join(config, clip, gpt2)

    @classmethod
    def _join(cls, config: CaptionConfig, clip: str | Path, gpt2: str | Path) -> "CheckpointMixin":
        vision, lm = load_vision(clip, config.vision_config), load_text(gpt2, config.text_config)
        config.towers = {
            "vision": {"source": str(clip), "sha256": fingerprint(vision)},
            "text": {"source": str(gpt2), "sha256": fingerprint(lm)},
        }
        return cls(config, vision=vision, lm=lm).eval()

    def save_pretrained(self, save_directory: str | Path, include_towers: bool = False, **kwargs: Any) -> None:
        """Save the bridge, the configuration, and the processor if the model carries one.

        Args:
            save_directory: a folder, made if need be
            include_towers: save the towers too: the folder then needs nothing else
            kwargs: of `PreTrainedModel.save_pretrained`, such as push_to_hub
        """
        include_towers = include_towers or self.config.towers is None  # nobody could find them again
        before = self._keys_to_ignore_on_save, self.config.includes_towers
        learned = set(self.bridge_state_dict())
        self._keys_to_ignore_on_save = set() if include_towers else set(self.state_dict()) - learned
        self.config.includes_towers = include_towers
        try:
            super().save_pretrained(save_directory, **kwargs)
        finally:
            self._keys_to_ignore_on_save, self.config.includes_towers = before
        if self.processor is not None:
            self.processor.save_pretrained(save_directory)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *args: Any, clip: str | Path | None = None, gpt2: str | Path | None = None, **kwargs: Any
    ) -> "CheckpointMixin":
        """Load either form of checkpoint, from a folder or the hub.

        Args:
            path: folder or hub name
            clip, gpt2: where the towers lie now, if elsewhere than when the bridge was saved
            kwargs: of `PreTrainedModel.from_pretrained`

        Raises:
            UserError: a tower that differs from the one that the bridge was trained on, tensors that do not fit.
        """
        config = kwargs.pop("config", None) or CaptionConfig.from_pretrained(path)
        if config.includes_towers or path is None:
            model = super().from_pretrained(path, *args, config=config, **kwargs)
            model.freeze_towers()  # loading makes new parameters, which all ask for gradients
        else:
            model = cls._from_bridge(path, config, clip, gpt2, kwargs)
        model.processor = _processor_beside(path)
        return model

    @classmethod
    def _from_bridge(
        cls, path: str | Path, config: CaptionConfig, clip: str | Path | None, gpt2: str | Path | None, kwargs: dict
    ) -> "CheckpointMixin":
        saved = config.towers
        dtype = kwargs.pop("dtype", None)
        model = cls._join(config, clip or saved["vision"]["source"], gpt2 or saved["text"]["source"])
        for name, tower in saved.items():
            if (found := model.config.towers[name])["sha256"] != tower["sha256"]:
                raise UserError(
                    f"{path}: the {name} tower at '{found['source']}' is not the one that this bridge was trained on "
                    f"(SHA-256 {found['sha256'][:12]}..., expected {tower['sha256'][:12]}... from '{tower['source']}'). "
                    f"Pass the right folder as {'clip' if name == 'vision' else 'gpt2'}=..."
                )
        load_bridge(model, load_file(cached_file(path, WEIGHTS)), str(path))
        return model if dtype in (None, "auto") else model.to(dtype)


def load_bridge(model: CheckpointMixin, tensors: dict, source: str) -> None:
    """Copy a bridge into `model`, all of it.

    Raises:
        UserError: a tensor is missing, unknown or of another shape; the first is named.
    """
    own = model.bridge_state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        expected = tuple(own[name].shape) if name in own else "nothing"
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        if expected != found:
            raise UserError(f"{source}: tensor '{name}' is {found}, the model of this configuration expects {expected}.")
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def _processor_beside(path: str | Path | None):
    from components.model.processor import CaptionProcessor

    try:
        return CaptionProcessor.from_pretrained(path)
    except (OSError, ValueError, TypeError):
        return None
