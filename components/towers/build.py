"""The two frozen towers as ordinary `save_pretrained` folders: `clip/` and `gpt2/`.

Offline they are pre-trained here, on the training split; with a hub (or local folders) they are fetched. What
comes after reads the folders and cannot tell which it was.
"""

import json
from pathlib import Path

from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2LMHeadModel,
)

from components.config import HubTowers, OfflineTowers, Params
from components.data.tables import Tables
from components.errors import UserError
from components.files import atomic_path
from components.towers import probe
from components.towers.clip import image_processor, pretrain_clip
from components.towers.encode import VisionEncoder
from components.towers.gpt2 import pretrain_gpt2
from components.towers.tokenizer import clip_tokenizer, gpt2_tokenizer, train_bpe


def build_towers(params: Params, tables: Tables, out: str | Path) -> dict[str, float]:
    """Write `clip/`, `gpt2/` and `metrics.json` below `out`; return the metrics (retrieval and perplexity on
    val)."""
    with atomic_path(out) as folder:
        folder.mkdir()
        if params.profile == "hub":
            fetch(params.towers.hub, folder)
        else:
            pretrain(params.towers.offline, tables.split("train"), params.seed, folder)
        metrics = measure(folder, tables.split("val"))
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def pretrain(params: OfflineTowers, train: Tables, seed: int, folder: Path) -> None:
    """Tokenizer, CLIP and GPT-2 from the training split alone."""
    workdir = folder.parent / "work"
    captions = list(train.captions["caption"])
    bpe = train_bpe(captions, params.vocab_size)
    for_clip = clip_tokenizer(bpe, params.positions)
    clip = pretrain_clip(train, for_clip, params, seed, workdir)
    for part in (clip, for_clip, image_processor(params.image_size)):
        part.save_pretrained(folder / "clip")
    for_gpt2 = gpt2_tokenizer(bpe, params.positions)
    gpt2 = pretrain_gpt2(list(train.references().values()), for_gpt2, params, seed, workdir)
    for part in (gpt2, for_gpt2):
        part.save_pretrained(folder / "gpt2")


def fetch(params: HubTowers, folder: Path) -> None:
    """Copy the named models, from the hub or a local folder, into `folder`.

    Raises:
        UserError: the name is neither a folder nor reachable on the hub.
    """
    for name, source, loaders in (
        ("clip", params.clip, (AutoModel, AutoTokenizer)),
        ("gpt2", params.gpt2, (AutoModelForCausalLM, AutoTokenizer)),
    ):
        try:
            parts = [loader.from_pretrained(source) for loader in loaders]
            if name == "clip":
                parts.append(AutoImageProcessor.from_pretrained(source, backend="pil"))
        except OSError as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"params.yaml: towers.hub.{name} is {source!r}: {reason} "
                "Name a local folder, or set `profile: offline` to pre-train small towers instead."
            ) from None
        for part in parts:
            part.save_pretrained(folder / name)


def measure(folder: Path, val: Tables) -> dict[str, float]:
    """Retrieval R@1, R@5 and the language model's perplexity on the validation split."""
    encoder = VisionEncoder(folder / "clip")
    scores = probe.retrieval(encoder, AutoTokenizer.from_pretrained(folder / "clip"), val)
    gpt2 = GPT2LMHeadModel.from_pretrained(folder / "gpt2").eval()
    captions = list(val.captions["caption"])
    tokenizer = AutoTokenizer.from_pretrained(folder / "gpt2")
    return scores | {"perplexity": probe.perplexity(gpt2, tokenizer, captions)}
