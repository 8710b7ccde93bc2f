"""Where a Prefect server is, and whether it answers. Nothing of Prefect is imported here."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from components.errors import UserError
from components.files import atomic_path

SERVER = Path(".prefect/server.json")
"""{"url": ...}, there while the server of flows.prefect_server runs."""

ANSWER_SECONDS = 10


def running_server() -> str | None:
    """The API of the server that `flows.prefect_server` started in this folder, if it is (still) there."""
    try:
        url = json.loads(SERVER.read_text())["url"]
        address = urlparse(url)
        socket.create_connection((address.hostname, address.port), timeout=1).close()
    except (OSError, ValueError, KeyError, TypeError):  # none, killed, or a file of something else
        return None
    return url


def require_answer(url: str) -> None:
    """Ask a server whether it is there; Prefect would ask a dead one for minutes.

    Raises:
        UserError: nothing answers.
    """
    import httpx  # as Prefect does, with the user's proxies

    try:
        httpx.get(f"{url}/health", timeout=ANSWER_SECONDS, verify=False)  # any answer will do
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"PREFECT_API_URL is {url}: no Prefect server answers there ({reason}). Start it, or unset "
            "PREFECT_API_URL: stages need no server."
        ) from None


@contextmanager
def announced(url: str) -> Iterator[None]:
    """While the body runs, Prefect commands and flows in this folder find the server by themselves."""
    with atomic_path(SERVER) as path:
        path.write_text(json.dumps({"url": url}) + "\n")
    try:
        yield
    finally:
        SERVER.unlink(missing_ok=True)
