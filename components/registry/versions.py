"""Model versions: each trained variant becomes one, self-contained; two names point at them, @champion and
@challenger.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from components.code import code_digest
from components.data.display import data_uri
from components.errors import UserError
from components.registry import flavor
from components.registry.samples import linked
from components.tracking.faults import friendly, is_permanent
from components.tracking.store import EXPERIMENT, Store, connect, project_root

if TYPE_CHECKING:
    import torch
    from mlflow.entities.model_registry import ModelVersion
    from PIL import Image

MODEL = EXPERIMENT
ADDRESS = "models:/"
"""Begins the address of a version."""

CHAMPION, CHALLENGER = "champion", "challenger"
LONGEST_CARD = 5000  # of a version's description in MLflow's database
ABOUT = """Captions pictures: frozen CLIP and GPT-2, joined by a learned bridge. Each version is
self-contained (towers, tokenizer, image processor and code included) and carries its model card.

```python
model = mlflow.pytorch.load_model("models:/{name}@champion")
model.caption([PIL.Image.open("picture.png")])
```

As a service: `mlflow models serve -m models:/{name}@champion --env-manager local`
"""


class NothingRegistered(UserError):
    """There is no version of a model at all."""


def log_captioner(
    model: "torch.nn.Module",
    run_id: str,
    *,
    card: str,
    example: "Image.Image",
    tags: Mapping[str, object],
    name: str = MODEL,
) -> str:
    """Make `model` a version of the registered model `name`; return its number.

    Calling it again for the same run, weights, decoding and code returns the version that exists.

    Args:
        model: a `CaptionModel` that carries its processor.
        run_id: MLflow's id of the run that it was trained in.
        card: the model card, Markdown; without its front matter the version's description, with the run's
            pictures for its own (`registry.samples`), and whole in the model's model_card.md.
        example: a picture, kept as the example input of the service.
        tags: of the version; "variant" names the model among the run's, "test_data" is what the gate
            compares.

    Raises:
        UserError: the store cannot be reached, or the model has no processor.
    """
    if getattr(model, "processor", None) is None:
        raise UserError(
            "The model carries no processor, so it could not caption pictures: set model.processor first."
        )
    with friendly(f"Registering {name}"):
        import mlflow
        from huggingface_hub import ModelCard
        from mlflow.models import Model

        store, digest = connect(), _digest(model)
        description = shortened(linked(ModelCard(card).text.strip(), run_id))
        texts = {key: str(value) for key, value in tags.items()} | {"digest": digest}
        for known in versions(store, name):
            if known.run_id == run_id and known.tags.get("digest") == digest:
                store.client.update_model_version(name, known.version, description)
                for key, value in texts.items():
                    store.client.set_model_version_tag(name, known.version, key, value)
                return str(known.version)
        if not store.client.search_registered_models(f"name = '{name}'"):
            store.client.create_registered_model(name, description=ABOUT.format(name=name))
        mlflow.set_experiment(experiment_id=store.experiment_id)  # else it is filed under "Default"
        model_id = Model.log(
            None,
            flavor,
            name=texts.get("variant", "captioner"),
            run_id=run_id,
            captioner=model.cpu().eval(),
            card=card,
            example=data_uri(example),
        ).model_id
        version = store.client.create_model_version(
            name, f"models:/{model_id}", run_id, texts, description=description, model_id=model_id
        )
    return str(version.version)


def load_captioner(model: str) -> "torch.nn.Module":
    """The captioner at models:/NAME@ALIAS or models:/NAME/VERSION, or in a folder that training wrote.

    Raises:
        UserError: no such model, version, alias or folder, or the store cannot be reached.
    """
    if model.startswith(ADDRESS):
        with friendly(f"Loading {model}"):
            import mlflow.pytorch

            return mlflow.pytorch.load_model(pinned(model)).eval()
    if not Path(model, "config.json").exists():
        raise UserError(
            f"'{model}': neither models:/NAME@ALIAS, models:/NAME/VERSION nor the folder of a model."
        )
    from components.model import CaptionModel

    return CaptionModel.from_pretrained(model)


def pinned(model: str) -> str:
    """models:/NAME@ALIAS -> models:/NAME/VERSION, so that all who load it get the same.

    Raises:
        UserError: no such model, version or alias, or the store cannot be reached.
    """
    with friendly(f"Looking for {model}"):
        found = find_version(model, open_store())
    return f"models:/{found.name}/{found.version}"


def open_store() -> Store:
    """The store, for those who look for something: where there is none, none is made.

    Raises:
        UserError: there is none.
    """
    database = project_root() / "mlruns" / "mlflow.db"
    if not (database.exists() or os.environ.get("MLFLOW_TRACKING_URI")):
        raise NothingRegistered(
            f"{database}: no such file, so nothing is registered yet. Train and register: dvc repro. "
            "Elsewhere than in the project's root: MLFLOW_TRACKING_URI=sqlite:////PROJECT/mlruns/mlflow.db"
        )
    return connect()


def aliased(name: str) -> dict[str, "ModelVersion"]:
    """The versions of `name` that are @champion and @challenger; none where nothing is registered.

    Raises:
        UserError: the store cannot be reached.
    """
    with friendly(f"Looking for {name}"):
        try:
            store = open_store()
        except NothingRegistered:
            return {}
        found = {alias: version_at(store, alias, name) for alias in (CHAMPION, CHALLENGER)}
    return {alias: version for alias, version in found.items() if version}


def find_version(model: str, store: Store) -> "ModelVersion":
    """The version at models:/NAME/VERSION or models:/NAME@ALIAS.

    Raises:
        UserError: there is none (says which there are), or it is no such address.
    """
    address = re.fullmatch(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))", model)
    if not address:
        raise UserError(f"'{model}': write models:/NAME/VERSION or models:/NAME@ALIAS.")
    name, alias, number = address.groups()
    found = version_at(store, alias, name) if alias else _found(store.client.get_model_version, name, number)
    if found:
        return found
    known = versions(store, name)
    if not known:
        raise NothingRegistered(
            f"{model}: no such model is registered yet. Train and register one: dvc repro"
        )
    aliases = ", ".join(sorted(store.client.get_registered_model(name).aliases)) or "(none)"
    numbers = ", ".join(str(version.version) for version in reversed(known))
    raise UserError(f"{model}: no such version. There are {numbers}, and the aliases {aliases}.")


def versions(store: Store, name: str = MODEL) -> "list[ModelVersion]":
    """All versions of `name`, newest first; none if it is not registered."""
    found = store.client.search_model_versions(f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version), reverse=True)


def version_at(store: Store, alias: str, name: str = MODEL) -> "ModelVersion | None":
    """The version that an alias points at; None if there is none."""
    return _found(store.client.get_model_version_by_alias, name, alias)


def _found(get: Callable[..., "ModelVersion"], *names: str) -> "ModelVersion | None":
    from mlflow.exceptions import MlflowException

    try:
        return get(*names)
    except MlflowException as error:
        if is_permanent(error):
            return None
        raise


def read_artifact(store: Store, run_id: str, path: str) -> bytes | None:
    """What lies there among the artifacts of a run; None if nothing does."""
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory() as scratch:
        try:
            return Path(store.client.download_artifacts(run_id, path, scratch)).read_bytes()
        except (MlflowException, OSError):
            return None


def shortened(card: str) -> str:
    """At most what a description may hold, cut at a line; a block of code that was cut is closed."""
    if len(card) <= LONGEST_CARD:
        return card
    end = "\n\n(shortened: the whole card is model_card.md among the model's files)"
    kept = card[: LONGEST_CARD - len(end) - len("\n```")].rpartition("\n")[0]
    return kept + "\n```" * (kept.count("```") % 2) + end


def _digest(model: "torch.nn.Module") -> str:
    """Hash of the weights, of how captions are decoded, and of all code that the version carries."""
    import torch

    digest = hashlib.sha256(model.generation_config.to_json_string().encode())
    digest.update(code_digest(flavor.MODULES, harmless=()).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
