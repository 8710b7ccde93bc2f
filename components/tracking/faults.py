"""What can be wrong with a store or a model name, in one message each."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from components.errors import UserError
from components.tracking.store import import_mlflow, tracking_uri

# No amount of retrying helps these; anything else (a server down, a locked file) may pass.
_PERMANENT = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS"}


def is_permanent(error: Exception) -> bool:
    """Did the store answer, and refuse? (A store that is down or locked has not answered.)"""
    return getattr(error, "error_code", None) in _PERMANENT or isinstance(
        error, (ValueError, TypeError, KeyError, AttributeError)
    )


@contextmanager
def friendly(doing: str) -> Iterator[None]:
    """Turn MLflow's exceptions into a UserError that says what was being done, what is wrong and what to do.

    Raises:
        UserError: the store is down, locked or not ours to write; there is no such run, model, version or
        alias.
    """
    import_mlflow()
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise UserError(f"{doing}: {explain(error)}") from error


def explain(error: Exception) -> str:
    """One sentence or two for what MLflow raised, with what to do."""
    text = " ".join(str(getattr(error, "message", error)).split())
    uri = tracking_uri()
    if isinstance(error, OSError) and error.strerror:  # artifacts are files: a full disk, a folder not ours
        return f"{error.strerror}: {error.filename or 'the artifact store'}."
    if "database is locked" in text:
        return f"the MLflow database {uri} is locked by another process. Close what holds it."
    if "API request to" in text or "Max retries exceeded" in text or "Connection refused" in text:
        return (
            f"the MLflow server {uri} does not answer. Start it, or unset MLFLOW_TRACKING_URI to use mlruns/."
        )
    if "readonly database" in text or "unable to open database" in text:
        return f"the MLflow database {uri} cannot be written. Check the folder's permissions."
    if "out-of-date database schema" in text or "Can't locate revision" in text:
        return f"the MLflow database {uri} was made by another MLflow version. Run: mlflow db upgrade {uri}"
    return text if len(text) <= 500 else f"{text[:500]} ..."
