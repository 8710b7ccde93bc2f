"""Where a run came from: parameters, DVC's hashes, the data, and which weights and scores it left."""

import getpass
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.data.tables import Tables, table_digest
from components.errors import UserError
from components.tracking.names import leaves

LONGEST_PARAM = 500  # what older servers take; ours 6000. The whole text stands in the artifact params.yaml.


def flatten(params: Mapping[str, object]) -> dict[str, str]:
    """{"train": {"rate": 1e-3, "amp": True}} -> {"train.rate": "0.001", "train.amp": "true"}.

    Values read as in YAML: true, null, [1, 2]; strings bare.
    """
    flat = {}
    for path, value in leaves(_of_one_variant(params)):
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        long = len(text) > LONGEST_PARAM
        flat[".".join(path)] = f"({len(text)} characters: see params.yaml)" if long else text
    return flat


def _of_one_variant(params: Mapping[str, object]) -> dict[str, object]:
    """Without the variants: which others are trained beside it says nothing about a run."""
    return {key: value for key, value in params.items() if key != "variants"}


def data_name(params: Mapping[str, Any], data: str) -> str:
    """How runs call their data set: what was read, and the beginning of its hash, by which two of one name
    differ: "scenes 521d", "captions.csv 9c01", "lmms-lab/flickr30k 77aa".
    """
    section = params.get("data", {})
    source, named = section.get("source", "data"), section.get("annotations")
    if source == "scenes" or (source == "datasets" and named):
        name = named or source
    else:
        name = Path(named if isinstance(named, str) else section.get("folder", source)).name
    return f"{name} {data[:4]}"


def pipeline_key(params: Mapping[str, object], data: str) -> str:
    """Name of a configuration, 12 hexadecimal digits: one parent run each.

    Args:
        params: all of params.yaml as plain values. `variants` does not count: a variant added later joins the
            others.
        data: hash of the data set, see `tables_digest`.
    """
    text = json.dumps([_of_one_variant(params), data], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def tables_digest(tables: Tables) -> str:
    """Hash of pictures, captions and splits, whatever the files look like: 16 hexadecimal digits.

    For `tables.split("test")` it is the hash by which two models' test scores are known to be comparable.
    """
    images = tables.images.sort_values("image_id")[["image_id", "split", "sha256"]]
    captions = tables.captions.sort_values(["image_id", "caption_id"])[["image_id", "caption"]]
    return hashlib.sha256((table_digest(images) + table_digest(captions)).encode()).hexdigest()[:16]


def weights_digest(folder: str | Path) -> str:
    """Hash of the trained weights in a model's folder: by it later stages find the run that made them,
    wherever the folder comes from (DVC's cache, another machine).

    Raises:
        UserError: no model there.
    """
    return _file_digest(Path(folder) / "model.safetensors", "train")


def scores_digest(folder: str | Path) -> str:
    """Hash of the per-image scores in the folder of an evaluation: by it the run is found that has them.

    Raises:
        UserError: no scores there.
    """
    return _file_digest(Path(folder) / "per_image.parquet", "evaluate")


def _file_digest(path: Path, stage: str) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}. Run: dvc repro {stage}") from None


def dataset_entry(tables: Tables, split: str) -> dict[str, str]:
    """A split as MLflow's dataset input: name, digest, source, columns, number of images and captions."""
    part = tables.split(split)
    dtypes = part.images.dtypes.items()
    columns = [{"type": str(dtype), "name": name, "required": True} for name, dtype in dtypes]
    profile = {"num_images": len(part.images), "num_captions": len(part.captions)}
    return {
        "name": f"{tables.folder.name}-{split}",
        "digest": tables_digest(part),
        "source_type": "local",
        "source": json.dumps({"uri": tables.folder.resolve().as_uri()}),
        "schema": json.dumps({"mlflow_colspec": columns}),
        "profile": json.dumps(profile),
        "context": split,
    }


def dvc_tags(variant: str, lock: str | Path = "dvc.lock") -> dict[str, str]:
    """DVC's hash of what each finished stage made: {"dvc.prepare": "5d41...dir", "dvc.train": ...}.

    Of matrix stages (train@mlp) only the one of `variant`. A stage with several outputs gives one tag each.
    """
    try:
        stages = yaml.safe_load(Path(lock).read_text(encoding="utf-8")).get("stages", {})
    except (OSError, AttributeError, yaml.YAMLError):  # no pipeline here, or DVC is just writing it
        stages = {}
    tags = {}
    for stage, entry in stages.items():
        name, _, row = stage.partition("@")
        outs = entry.get("outs", [])
        if row in ("", variant):
            for out in outs:
                tags[f"dvc.{name}" if len(outs) == 1 else f"dvc.{name}/{out['path']}"] = out.get("md5", "")
    return tags


def source_tags(stage: str) -> dict[str, str]:
    """What MLflow's Source and User columns show, and the DVC experiment, if it is one."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name; OSError from Python 3.13 on
        user = str(os.getuid())
    experiment = os.environ.get("DVC_EXP_NAME")
    return ({"dvc.experiment": experiment} if experiment else {}) | {
        "mlflow.source.name": os.environ.get("DVC_STAGE") or f"flows.{stage}",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": user,
    }
