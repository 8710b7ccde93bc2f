"""Saving the bridge, and finding its towers again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils import cached_file

from components.errors import UserError
from components.files import follow_umask
from components.model.configuration import CaptionConfig, check_bridge_fields
from components.model.custom_code import announced, forget_code, write_code
from components.model.processor import CaptionProcessor
from components.model.towers import (
    fingerprint,
    first_line,
    load_tower,
    load_vision,
    tower_config,
    vision_config_of,
)

WEIGHTS = "model.safetensors"
Source = str | Path
"""A folder, or a name on the hub."""

OF_ALL_FILES = ("cache_dir", "force_download", "local_files_only", "revision", "token", "trust_remote_code")
"""Arguments of `from_pretrained` that hold for the model's files and for all that lie beside them."""


class CheckpointMixin:
    """`from_towers`, `save_pretrained`, `from_pretrained`."""

    @classmethod
    def from_towers(cls, clip: Source, gpt2: Source, **fields: Any) -> Self:
        """Two pretrained towers, frozen, and a fresh bridge.

        Args:
            clip: a CLIP or SigLIP model, or its vision tower
            gpt2: a GPT-2
            fields: of `CaptionConfig`, those in `BRIDGE_FIELDS`

        Raises:
            UserError: an unknown backbone or field.
        """
        fields = check_bridge_fields(fields)
        vision, text = vision_config_of(clip), tower_config(gpt2)
        return cls._join(CaptionConfig(vision_config=vision, text_config=text, **fields), clip, gpt2)

    @classmethod
    def _join(
        cls, config: CaptionConfig, clip: Source, gpt2: Source, dtype: torch.dtype | None = None
    ) -> Self:
        vision = load_vision(clip, config.vision_config)
        lm = load_tower(AutoModelForCausalLM, gpt2, config.text_config)
        config.towers = {  # of the tensors as they lie there, before any change of type
            "vision": {"source": str(clip), "sha256": fingerprint(vision)},
            "text": {"source": str(gpt2), "sha256": fingerprint(lm)},
        }
        return cls(config, vision=vision, lm=lm).to(dtype or torch.float32).eval()

    def save_pretrained(self, save_directory: Source, include_towers: bool = False, **kwargs: Any) -> None:
        """Save the bridge, the configuration, and the processor if the model carries one.

        Every file is written aside and then renamed, the weights before the configuration.

        Args:
            save_directory: a folder, made if need be
            include_towers: save the towers and the model's code too: the folder then needs nothing else,
                `AutoModel.from_pretrained(folder, trust_remote_code=True)` loads it where this package is
                unknown. Always so for a model that was not made from towers, whose random weights nobody
                could find again.
            kwargs: of `PreTrainedModel.save_pretrained`, such as push_to_hub
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        aside = tempfile.TemporaryDirectory(prefix=".saving.", dir=folder)
        with aside as scratch, self._described(include_towers or self.config.towers is None):
            super().save_pretrained(
                scratch, **({"repo_id": folder.name} if kwargs.get("push_to_hub") else {}) | kwargs
            )
            self._save_rest(Path(scratch))
            follow_umask(Path(scratch))
            for file in sorted(Path(scratch).iterdir(), key=lambda file: file.suffix == ".json"):
                file.replace(folder / file.name)

    def push_to_hub(self, repo_id: str, **kwargs: Any) -> None:
        """Upload everything, towers and code too: nobody there has the towers of a bridge alone.

        Args:
            repo_id: such as "me/captioner", made if need be
            kwargs: commit_message, create_pr, private, token
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, include_towers=True, push_to_hub=True, repo_id=repo_id, **kwargs)

    def _upload_modified_files(self, working_dir: Source, *args: Any, **kwargs: Any) -> Any:
        """The last step of `save_pretrained(..., push_to_hub=True)`: the rest goes along."""
        self._save_rest(Path(working_dir))
        return super()._upload_modified_files(working_dir, *args, **kwargs)

    def _save_rest(self, folder: Path) -> None:
        """What transformers does not save of its own accord."""
        if self.processor is not None:
            self.processor.save_pretrained(folder)
        if self.config.includes_towers and self._auto_class is None:  # else transformers copies what it has
            write_code(folder)

    @contextmanager
    def _described(self, whole: bool) -> Iterator[None]:
        """While it is saved, the configuration says what the folder will hold."""
        self._keys_to_ignore_on_save = set() if whole else self.frozen_names()
        self.config.includes_towers = whole
        parts = [part for part in (self.config, self.processor) if whole and part is not None]
        try:
            with announced(*parts):
                yield
        finally:
            self._keys_to_ignore_on_save = self.frozen_names()
            self.config.includes_towers = False

    @classmethod
    def from_pretrained(
        cls, path: Source, *args: Any, clip: Source | None = None, gpt2: Source | None = None, **kwargs: Any
    ) -> Self:
        """Load either form of checkpoint, in eval mode.

        Args:
            path: what `save_pretrained` wrote
            clip, gpt2: where the towers lie now, if elsewhere than when the bridge was saved
            kwargs: of `PreTrainedModel.from_pretrained`; for a bridge alone: dtype

        Raises:
            UserError: no checkpoint there, a tower that differs from the one that the bridge was trained on,
                or tensors that do not fit.
        """
        beside = {name: kwargs[name] for name in OF_ALL_FILES if name in kwargs}
        config = kwargs.pop("config", None) or _config_at(path, **beside)
        if config.includes_towers:
            model = cls._from_export(path, config, *args, **kwargs)
        else:
            model = cls._on_its_towers(path, config, clip, gpt2, kwargs.get("dtype"))
            load_bridge(model, _weights_at(path, **beside), path)
            with suppress(OSError):  # how it writes captions, if that was saved with it
                model.generation_config = GenerationConfig.from_pretrained(path, **beside)
        if not Path(path).is_dir() or (Path(path) / "processor_config.json").exists():
            with suppress(OSError):
                model.processor = CaptionProcessor.from_pretrained(path, **beside)
        return model

    @classmethod
    def _from_export(cls, path: Source, config: CaptionConfig, *args: Any, **kwargs: Any) -> Self:
        try:
            model = super().from_pretrained(path, *args, config=config, **kwargs)
        except RuntimeError:  # its message refers to a table in the log: name the tensor instead
            with torch.device("meta"):
                own = cls(config).state_dict()
            _check_shapes(own, _weights_at(path), path)
            raise
        model.config.includes_towers = False  # that was the checkpoint's: the next one decides for itself
        forget_code(model.config)
        model.freeze_towers()  # loading makes new parameters, which all ask for gradients
        return model

    @classmethod
    def _on_its_towers(
        cls, path: Source, config: CaptionConfig, clip: Source | None, gpt2: Source | None, dtype: Any
    ) -> Self:
        saved = config.towers
        if saved is None:
            raise UserError(f"{path}: its config.json does not say where the towers are.")
        clip, gpt2 = clip or saved["vision"]["source"], gpt2 or saved["text"]["source"]
        try:
            model = cls._join(config, clip, gpt2, None if dtype == "auto" else dtype)
        except UserError as error:
            raise UserError(f"{path}: {error} If the towers have moved, pass clip=... and gpt2=...") from None
        for tower, option in (("vision", "clip"), ("text", "gpt2")):
            expected, found = saved[tower], model.config.towers[tower]
            if found["sha256"] != expected["sha256"]:
                raise UserError(
                    f"{path}: the {tower} tower at '{found['source']}' is not the one that this bridge was "
                    f"trained on: SHA-256 {found['sha256'][:12]}..., expected {expected['sha256'][:12]}... "
                    f"(then at '{expected['source']}'). Pass the folder of the right one as {option}=..."
                )
        return model


def read_checkpoint(path: Source) -> tuple[CaptionConfig, dict[str, Tensor]]:
    """Configuration and tensors of either form of checkpoint, as they lie there.

    Raises:
        UserError: no checkpoint there.
    """
    return _config_at(path), _weights_at(path)


def load_bridge(model: CheckpointMixin, tensors: dict[str, Tensor], source: Source) -> None:
    """Copy a bridge into `model`, all of it.

    Raises:
        UserError: a tensor is missing, unknown or of another shape; the first is named.
    """
    own = model.bridge_state_dict()
    _check_shapes(own, tensors, source)
    for name, tensor in own.items():
        tensor.copy_(tensors[name])


def _check_shapes(own: dict[str, Tensor], tensors: dict[str, Tensor], source: Source) -> None:
    for name in sorted(own.keys() | tensors.keys()):
        expected = str(list(own[name].shape)) if name in own else "no such tensor"
        found = str(list(tensors[name].shape)) if name in tensors else "no such tensor"
        if expected != found and name != "text_generator.lm.lm_head.weight":  # tied, so stored once
            raise UserError(
                f"{source}: the checkpoint has another shape than the model: '{name}' is {found}, expected "
                f"{expected}. Load it with the configuration that it was saved with."
            )


def _weights_at(path: Source, **beside: Any) -> dict[str, Tensor]:
    try:
        return load_file(cached_file(path, WEIGHTS, **beside))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no {WEIGHTS} that can be read: {first_line(error)}") from None


def _config_at(path: Source, **beside: Any) -> CaptionConfig:
    try:
        return CaptionConfig.from_pretrained(path, **beside)
    except OSError as error:
        raise UserError(f"{path}: no captioner is saved there: {first_line(error)}") from None
