"""Where this project's Prefect server is, if it runs. Nothing of Prefect is imported here."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from components.files import atomic_path

SERVER = Path(".prefect/server.json")
"""{"url": ...}, there while the server of flows.serve runs."""


def running_server() -> str | None:
    """The API of the server that flows.serve started in the current folder, if it is (still) there."""
    try:
        url = json.loads(SERVER.read_text())["url"]
        address = urlparse(url)
        socket.create_connection((address.hostname, address.port), timeout=1).close()
    except (OSError, ValueError, KeyError, TypeError):  # none, killed, or a file of something else
        return None
    return url


@contextmanager
def announced(url: str) -> Iterator[None]:
    """While the body runs, Prefect commands and flows in this folder find the server by themselves."""
    with atomic_path(SERVER) as path:
        path.write_text(json.dumps({"url": url}) + "\n")
    try:
        yield
    finally:
        SERVER.unlink(missing_ok=True)
