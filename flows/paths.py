"""Where the stages leave what they make; the same paths as in dvc.yaml."""

from pathlib import Path

PREPARED = Path("data/prepared")
TOWERS = Path("data/towers")
FEATURES = Path("data/features")
MODELS = Path("models")
CHECKPOINTS = Path("checkpoints")  # of trainings that are not complete; not in dvc.yaml
RESULTS = Path("results")
REPORT = Path("reports/index.html")
REGISTRY = Path("reports/registry.json")
VALIDATION = Path("reports/data/validation.json")
