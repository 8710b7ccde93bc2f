"""The captioner as a service: base64 images and clips in, captions out.

    mlflow models serve -m models:/clip-gpt2-captioner@champion --env-manager local -p 5001
    printf '{"inputs": ["%s"]}' "$(base64 -w0 picture.png)" > ask.json
    curl localhost:5001/invocations -H 'Content-Type: application/json' -d @ask.json
    {"predictions": ["two red apples"]}

So do {"inputs": {"image": [...]}} and tables with a column `image`. Of a clip (GIF, MP4, ...) it sees as many
frames as it was trained with.

Loaded by MLflow from the registered model's own copy of this package. It decodes as was chosen for the model;
`"params": {"num_beams": 1}` beside "inputs" changes that, see `PARAMETERS`.
"""

import base64
import binascii
import numbers
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from components.data.clips import sample_frames
from components.data.pictures import Problem
from components.errors import UserError

if TYPE_CHECKING:
    import torch
    from PIL import Image

BATCH = 32
IMAGE = "image"
PARAMETERS = {
    "num_beams": numbers.Integral,
    "no_repeat_ngram_size": numbers.Integral,
    "max_new_tokens": numbers.Integral,
    "length_penalty": numbers.Real,
}
"""What a request may set; null leaves it as it was chosen for the model."""

HIGHEST = {"num_beams": 32, "max_new_tokens": 500}  # a request must not take all memory


class BadInput(MlflowException):
    """The client's mistake: HTTP 400 with one sentence.

    MLflow's server would prefix the message with everything that was sent; a megabyte of base64 helps nobody.
    """

    def __init__(self, sentence: str):
        super().__init__(sentence, error_code=BAD_REQUEST)
        self.sentence = sentence

    def serialize_as_json(self) -> str:
        """What the server answers."""
        self.message = self.sentence
        return super().serialize_as_json()


class CaptionService:
    """The `predict` that MLflow calls."""

    def __init__(self, model: "torch.nn.Module"):
        self.model = model

    def predict(self, model_input, params: dict | None = None) -> list[str]:
        """Caption base64 images, in order.

        Args:
            model_input: strings, as a list, an array, or under the key or column `image`.
            params: keyword arguments of `generate`, of `PARAMETERS`; None: the model's own.

        Raises:
            BadInput: an input that is no image, named by its index and what is wrong with it; a parameter
                that there is not, of another type or out of range.
        """
        params = checked(params)
        frames = self.model.config.num_frames
        images = [decode(value, index, frames) for index, value in enumerate(_values(model_input))]
        captions = []
        try:
            for start in range(0, len(images), BATCH):
                captions += self.model.caption(images[start : start + BATCH], **params)
        except UserError as error:
            raise BadInput(str(error)) from None
        return captions


def checked(params: Any) -> dict[str, Any]:
    """Those of `params` that are set.

    Raises:
        BadInput: one that there is not, of another type or out of range.
    """
    if params and not isinstance(params, dict):
        raise BadInput(f"params: {_shown(params)} where names and values were expected.")
    given: dict[str, Any] = params or {}
    for name, value in given.items():
        if name not in PARAMETERS:
            raise BadInput(f"params: no such parameter {_shown(name)}. There are {', '.join(PARAMETERS)}.")
        if value is None:
            continue
        fits = isinstance(value, PARAMETERS[name]) and not isinstance(value, bool)
        if not fits:
            kind = "an integer" if PARAMETERS[name] is numbers.Integral else "a number"
            raise BadInput(f"params: {name} is {_shown(value)}; {kind} was expected.")
        if name in HIGHEST and not 1 <= value <= HIGHEST[name]:
            raise BadInput(f"params: {name} is {value}; it goes from 1 to {HIGHEST[name]}.")
    return {name: value for name, value in given.items() if value is not None}


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def decode(value: object, index: int, num_frames: int) -> "list[Image.Image]":
    """One base64 string -> the picture, or frames of the clip, as training would have opened it; a data URL
    ("data:image/png;base64,...") will do.

    Raises:
        BadInput: not a string, not base64, not an image, a damaged or enormous one.
    """
    if not isinstance(value, str):
        kind = "null" if value is None or value != value else f"{type(value).__name__} {_shown(value)}"
        raise BadInput(f"input {index}: {kind} where a base64 string was expected.")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"input {index}: not base64 ({error}); it begins with {text[:20]!r}.") from None
    if not content:
        raise BadInput(f"input {index}: empty.")
    try:
        return sample_frames(content, num_frames)
    except Problem as problem:
        raise BadInput(f"input {index}: {len(content)} bytes: {problem.detail}.") from None


def _values(model_input: Any) -> list:
    """What MLflow made of the request, or what `predict` was given -> one value an image.

    The signature names no inputs: MLflow would take the first column, whatever its name, or refuse names.
    """
    names = list(model_input) if isinstance(model_input, dict) else getattr(model_input, "columns", [])
    if IMAGE in names:
        model_input = model_input[IMAGE]
    elif any(isinstance(name, str) for name in names) or len(names) > 1:
        raise _no_image(names)
    elif len(names):
        model_input = model_input[names[0]]  # a table of one column without a name
    values = _plain(model_input)
    values = list(values) if isinstance(values, (list, tuple)) else [values]
    return [_plain(_image_in(value)) if isinstance(value, dict) else value for value in values]


def _image_in(row: dict) -> Any:
    if IMAGE not in row:
        raise _no_image(row)
    return row[IMAGE]


def _no_image(names: Iterable[object]) -> BadInput:
    found = ", ".join(map(_shown, names))
    return BadInput(f"no {IMAGE!r} in the request: it has {found}. Name the column or key {IMAGE!r}.")


def _plain(value: Any) -> Any:
    """Of an array or a column a list, or the one value in it."""
    return value.tolist() if hasattr(value, "tolist") else value


def _load_pyfunc(path: str, model_config: dict | None = None) -> CaptionService:
    """Called by MLflow with the folder of the pickled model; `model_config` may name a device."""
    import mlflow.pytorch
    import torch

    _check_before_mlflow()

    device = (model_config or {}).get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    return CaptionService(mlflow.pytorch.load_model(str(Path(path).parent)).to(device).eval())


def _check_before_mlflow() -> None:
    """Have requests checked here first: MLflow drops keys and parameters that it does not know, with a
    warning in the server's log at most, and answers one of another type with all pictures that were sent.

    No setting of MLflow changes that, hence two functions of its own are replaced, if it has them (the
    version asks for the very release of MLflow that this was tried with).
    """
    from mlflow import pyfunc
    from mlflow.pyfunc import scoring_server

    enforce = getattr(pyfunc, "_enforce_params_schema", None)
    split = getattr(scoring_server, "_split_data_and_params", None)
    if enforce is None or split is None or enforce.__module__ == __name__:
        return

    def check_params(params: Any, schema: Any) -> Any:
        if schema is not None and {spec.name for spec in schema.params} == {*PARAMETERS}:
            checked(params)
        return enforce(params, schema)

    def check_keys(request: Any) -> Any:
        request = scoring_server._decode_json_input(request)
        if unknown := request.keys() - {*scoring_server.SUPPORTED_FORMATS, "params"}:
            names = ", ".join(map(_shown, sorted(unknown)))
            raise BadInput(f"the request has {names}: pictures stand in 'inputs', parameters in 'params'.")
        return split(request)

    pyfunc._enforce_params_schema, scoring_server._split_data_and_params = check_params, check_keys
