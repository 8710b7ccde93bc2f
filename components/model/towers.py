"""Finding, loading and recognising the frozen towers."""

import hashlib
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging

from components.errors import UserError


def vision_config_of(source: str | Path) -> PreTrainedConfig:
    """The configuration of the vision tower at `source`, a folder or a hub name, of one tower or two."""
    config = tower_config(source)
    return getattr(config, "vision_config", config)


def tower_config(source: str | Path) -> PreTrainedConfig:
    """The configuration of the model at `source`.

    Raises:
        UserError: there is none.
    """
    try:
        return AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise UserError(
            f"unknown backbone '{source}': no folder with a model, no name on the hub: {first_line(error)}"
        ) from None


def load_vision(source: str | Path, config: PreTrainedConfig) -> PreTrainedModel:
    """The vision tower, without its text sibling."""
    if type(config) not in MODEL_MAPPING:
        raise UserError(f"{source}: a '{config.model_type}' is no vision tower that transformers has.")
    return load_tower(MODEL_MAPPING[type(config)], source, config)


def fingerprint(tower: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of a tower's tensors: the same in any file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tower.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def load_tower(kind: type, source: str | Path, config: PreTrainedConfig) -> PreTrainedModel:
    """A tower of the class `kind`, complete.

    Raises:
        UserError: there is none, or tensors are missing.
    """
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # the sibling tower is left out on purpose: no warning about that
    try:
        tower, report = kind.from_pretrained(source, config=config, output_loading_info=True)
    except OSError as error:
        raise UserError(f"{source}: no weights can be loaded: {first_line(error)}") from None
    except RuntimeError:  # its message refers to a table in the log
        if not (others := _differences(config, vision_config_of(source))):
            raise
        raise UserError(f"{source}: another {config.model_type} than the one expected: {others}.") from None
    finally:
        logging.set_verbosity(verbosity)
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"{source}: {len(missing)} tensors of a {config.model_type} are missing, such as '{missing[0]}'."
        )
    return tower


def _differences(expected: PreTrainedConfig, found: PreTrainedConfig) -> str:
    """The sizes in which two configurations differ: "hidden_size is 64, expected 32"."""
    sizes = found.to_dict()
    return ", ".join(
        f"{name} is {sizes[name]}, expected {value}"
        for name, value in expected.to_dict().items()
        if isinstance(value, int) and sizes.get(name, value) != value and not name.endswith("_id")
    )


def first_line(error: Exception) -> str:
    """What a library has to say, without its traceback and its page of advice."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
