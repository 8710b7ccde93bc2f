"""One logged model, two ways in: `mlflow.pytorch.load_model` returns the captioner, `mlflow models serve` its
service.

`mlflow.pytorch` writes both flavors, but its pyfunc one feeds arrays to `forward`. Here that flavor is
pointed at `components.registry.serving`, which takes base64 images and returns captions. This module is what
`mlflow.models.Model.log` calls a flavor: something with a `save_model`.
"""

import re
import shutil
import tempfile
from importlib.metadata import version
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING

from components.code import code_of

if TYPE_CHECKING:
    from mlflow.models import Model, ModelSignature
    from torch.nn import Module

MODULES = ("components.model", "components.registry.serving")
"""What goes along with all that it imports, so that no checkout is needed to load the model."""

CARD = "model_card.md"

NEEDED = (
    *("av", "cloudpickle", "mlflow", "numpy", "pillow", "pillow-heif"),
    *("safetensors", "tokenizers", "torch", "transformers"),
)
"""The few packages that the model needs."""


def save_model(path: str, mlflow_model: "Model", *, captioner: "Module", example: str, card: str) -> None:
    """Write the model folder `path`: `captioner`, in eval mode, on the CPU, with its processor; `example`, a
    picture as a data URL, as the input example of the service; `card` as `CARD`.
    """
    import mlflow.pytorch
    from mlflow.utils.logging_utils import suppress_logs

    # MLflow warns that pickles run code: the price of a model that comes back with its methods.
    silence = suppress_logs("mlflow.pytorch", re.compile("Pickle"))
    with silence, tempfile.TemporaryDirectory() as folder:
        for name, file in code_of(MODULES, harmless=()).items():
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, Path(folder, name))
        mlflow.pytorch.save_model(
            captioner,
            path,
            mlflow_model=mlflow_model,
            code_paths=[str(path) for path in Path(folder).iterdir()],
            serialization_format="pickle",
            signature=_signature(),
            input_example=[example],
            # the versions at hand; a build's local part, +cpu, left out
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in NEEDED],
        )
    mlflow_model.flavors["python_function"]["loader_module"] = "components.registry.serving"
    Path(path, CARD).write_text(card, encoding="utf-8")
    mlflow_model.save(str(Path(path, "MLmodel")))


def _signature() -> "ModelSignature":
    """Captions come out. What goes in, in which form, the service sees for itself."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    from components.registry.serving import PARAMETERS

    kinds = {Integral: DataType.integer, Real: DataType.double}
    parameters = ParamSchema([ParamSpec(name, kinds[kind], None) for name, kind in PARAMETERS.items()])
    return ModelSignature(outputs=Schema([ColSpec(DataType.string)]), params=parameters)
