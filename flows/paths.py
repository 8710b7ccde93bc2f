"""Where the stages leave what they make, the same paths as in dvc.yaml; and whether it is there."""

from pathlib import Path

from components.errors import UserError

PREPARED = Path("data/prepared")
TOWERS = Path("data/towers")
FEATURES = Path("data/features")
MODELS = Path("models")
CHECKPOINTS = Path("checkpoints")  # of trainings that are not complete; not in dvc.yaml
RESULTS = Path("results")
REPORT = Path("reports/index.html")
REGISTRY = Path("reports/registry.json")
VALIDATION = Path("reports/data/validation.json")

WEIGHTS = ("config.json", "model.safetensors")  # of each model
SCORES = ("metrics.json", "per_image.parquet")  # of each evaluation


def require_towers() -> None:
    """A UserError if a tower is missing."""
    _require("towers", *(TOWERS / tower / file for tower in ("clip", "gpt2") for file in WEIGHTS))


def require_model(variant: str, evaluated: bool = False) -> None:
    """A UserError if it has not been trained, else its folder would be taken for a name on the hub; or not
    been `evaluated`, where it must be.
    """
    _require(f"train@{variant}", *(MODELS / variant / file for file in WEIGHTS))
    if evaluated:
        _require(f"evaluate@{variant}", *(RESULTS / variant / file for file in SCORES))


def _require(stage: str, *files: Path) -> None:
    for file in files:
        if not file.exists():
            raise UserError(f"{file}: no such file. Make it with `dvc repro {stage}`.")
