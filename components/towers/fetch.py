"""Fetch a tower: copy a folder, or download a model from the Hugging Face hub at a pinned commit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import resolve_revision

from components.errors import UserError

TowerName = Literal["clip", "gpt2"]
KINDS: dict[TowerName, tuple[str, ...]] = {"clip": ("clip", "siglip"), "gpt2": ("gpt2",)}
"""The model types that can be each of the towers: CLIP or SigLIP with both halves, GPT-2 of any size."""


@dataclass(frozen=True)
class Tower:
    """A pre-trained model in the dtype that it is stored in, and what belongs to it.

    `commit` is the hub's; None of a folder.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    image_processor: Any | None
    commit: str | None


def fetch(tower: TowerName, source: str, revision: str | None = None) -> Tower:
    """Load a tower completely.

    Args:
        source: a folder that `save_pretrained` wrote, or a name on the hub.
        revision: a commit, tag or branch of the hub; None is its main branch. Whatever it is, all parts come
            from the one commit that it names now.

    Raises:
        UserError: nothing can be loaded from there, it is a model of another kind, or a part is missing.
    """
    if revision and Path(source).is_dir():
        raise UserError(f"a folder has no revision '{revision}'. Set towers.{tower}_revision to null.")
    try:
        return _load(tower, source, resolve_revision(source, revision))
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes transformers, tokenizers or pickle raise
        reason = (str(error).strip().splitlines() or [""])[0][:150].rstrip(".")
        if not isinstance(error, OSError | ValueError | SafetensorError):
            reason = f"a file of it is damaged ({type(error).__name__}: {reason})"
        raise UserError(
            f"{reason}. Give a folder that save_pretrained wrote, such as pretrained/{tower}, or a model's "
            "name on the Hugging Face hub, if that can be reached."
        ) from None


def _load(tower: TowerName, source: str, revision: str | None) -> Tower:
    found = AutoConfig.from_pretrained(source, revision=revision).model_type
    if found not in KINDS[tower]:
        raise UserError(f"it is a '{found}'. A {' or '.join(KINDS[tower])} is needed there.")
    kind = AutoModel if tower == "clip" else AutoModelForCausalLM
    how = {"dtype": "auto", "output_loading_info": True, "ignore_mismatched_sizes": True}  # said below
    model, report = kind.from_pretrained(source, revision=revision, **how)
    if missing := sorted(report["missing_keys"]):
        raise UserError(f"{len(missing)} of its tensors are missing, such as '{missing[0]}'. Save it again.")
    if mismatched := sorted(report["mismatched_keys"]):
        name, stored, expected = mismatched[0]
        raise UserError(
            f"{len(mismatched)} of its tensors have another shape than its config.json says, such as "
            f"'{name}': {list(stored)}, not {list(expected)}. Save model and config together again."
        )
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
    processor = None
    if tower == "clip":
        processor = AutoImageProcessor.from_pretrained(source, revision=revision, backend="pil")
    return Tower(model, tokenizer, processor, commit=getattr(revision, "resolved", None))
