"""Commands in the project root find its Prefect server while it runs, and only then."""

import json
import socket

import pytest

from components.errors import UserError
from flows.serve import serve
from flows.server import SERVER, announced, running_server


@pytest.fixture
def listening(tmp_path, monkeypatch):
    """An empty project folder, and the address of something that listens."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


def test_a_server_is_found_while_it_is_announced_and_no_longer(listening):
    assert running_server() is None
    with announced(listening):
        assert running_server() == listening
    assert not SERVER.exists() and running_server() is None


def test_the_address_of_a_killed_server_is_ignored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    SERVER.parent.mkdir()
    for content in (
        json.dumps({"url": f"http://127.0.0.1:{port}/api"}),
        "{",
        "[]",
        "{}",
        '{"url": "nonsense"}',
    ):
        SERVER.write_text(content)
        assert running_server() is None, content


def test_serve_refuses_what_cannot_work(listening, tmp_path):
    with pytest.raises(UserError, match="run from the project root"):
        serve()
    (tmp_path / "prefect.yaml").touch()
    port = int(listening.rpartition(":")[2].removesuffix("/api"))
    with pytest.raises(UserError, match=f"Port {port}: .*--port {port + 1}"):
        serve(port)
    with announced(listening), pytest.raises(UserError, match=f"runs already: {listening}"):
        serve()
