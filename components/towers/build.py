"""The two frozen towers as ordinary `save_pretrained` folders, in the dtype that they came in.

clip/, gpt2/     the models, checked
towers.json      where they came from: source, the hub's commit, SHA-256 of the weights
metrics.json     what they can do on the validation split
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from components.config import Params, TowerParams
from components.data.tables import Tables
from components.errors import UserError
from components.features.encoder import ClipEncoder
from components.files import atomic_path, follow_umask
from components.towers import probe
from components.towers.check import check_tower
from components.towers.fetch import KINDS, TowerName, fetch

CHECKED_CAPTIONS = 500
PROBED_IMAGES = 5000
"""Of validation at most: COCO's number, and every caption is compared with every picture."""


def build_towers(params: Params, tables: Tables, out: str | Path) -> dict[str, float]:
    """Write what stands above to `out`; return the metrics (retrieval and perplexity on val).

    Raises:
        UserError: a tower that cannot be fetched or does not fit, named by its key of params.yaml.
    """
    captions = tables.split("train").captions["caption"]
    captions = list(captions.sample(min(CHECKED_CAPTIONS, len(captions)), random_state=0))
    with atomic_path(out) as folder:
        folder.mkdir()
        origins = {tower: bring(tower, params.towers, captions, folder / tower) for tower in KINDS}
        (folder / "towers.json").write_text(json.dumps(origins, indent=2) + "\n")
        metrics = measure(folder, tables.split("val").sample(PROBED_IMAGES, params.seed))
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def bring(
    tower: TowerName, params: TowerParams, captions: Sequence[str], folder: Path
) -> dict[str, str | None]:
    """Fetch and check one tower, and save it in `folder`; return where it came from."""
    source, revision = getattr(params, tower), getattr(params, f"{tower}_revision")
    try:
        fetched = fetch(tower, source, revision)
        check_tower(tower, fetched, captions)
    except UserError as error:
        raise UserError(f"params.yaml: towers.{tower} is '{source}': {error}") from None
    for part in (fetched.model, fetched.tokenizer, fetched.image_processor):
        if part is not None:
            part.save_pretrained(folder)
    follow_umask(folder)
    with (folder / "model.safetensors").open("rb") as weights:
        sha256 = hashlib.file_digest(weights, "sha256").hexdigest()
    return {"source": source, "revision": fetched.commit, "sha256": sha256}


def measure(folder: Path, val: Tables) -> dict[str, float]:
    """Retrieval R@1, R@5 and the language model's perplexity on the validation split."""
    words, tokens = (AutoTokenizer.from_pretrained(folder / name) for name in ("clip", "gpt2"))
    gpt2 = GPT2LMHeadModel.from_pretrained(folder / "gpt2", dtype=torch.float32).eval()
    scores = probe.retrieval(ClipEncoder(folder / "clip"), words, val)
    return scores | {"perplexity": probe.perplexity(gpt2, tokens, list(val.captions["caption"]))}
