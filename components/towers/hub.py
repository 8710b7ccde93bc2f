"""What is known of a tower before it is fetched: whether it is here, and what there is to download."""

from pathlib import Path

from httpx import HTTPError
from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from components.errors import UserError
from components.towers.fetch import TowerName

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".json", ".txt")
"""Of the files that are downloaded."""

SECONDS = 10.0  # that the hub may take to answer


def is_here(source: str, revision: str | None = None) -> bool:
    """Whether it is a folder, or lies in the hub's cache."""
    if Path(source).exists():
        return True
    return any(isinstance(try_to_load_from_cache(source, name, revision=revision), str) for name in WEIGHTS)


def download_size(tower: TowerName, source: str, revision: str | None = None) -> int:
    """Bytes to download.

    Raises:
        UserError: the hub does not answer, or has no such model.
    """
    key = f"params.yaml: towers.{tower} is '{source}'"
    try:
        info = HfApi().model_info(source, revision=revision, timeout=SECONDS, files_metadata=True)
    except RepositoryNotFoundError:
        raise UserError(f"{key}: no such folder, and no such model on the hub.") from None
    except (HTTPError, HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{key}: no such folder, not in the hub's cache, and the hub does not answer ({reason}). Go "
            f"where it does and run `hf download {source}`, or give a folder that save_pretrained wrote."
        ) from None
    return sum(file.size or 0 for file in info.siblings if file.rfilename.endswith(SUFFIXES))
