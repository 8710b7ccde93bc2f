"""Commands in the project root find its Prefect server while it runs, and only then."""

import json
import signal
import socket
import subprocess
import sys
import threading
from http.server import HTTPServer
from pathlib import Path
from urllib.parse import urlparse

import pytest

from components.errors import UserError
from flows.prefect_server import serve
from flows.server_address import SERVER, announced, running_server
from tests.flows_fixtures import environment, run
from tests.test_program import Answering

CODE = {"PYTHONPATH": str(Path(__file__).parents[2])}


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


def test_a_command_has_a_server_while_it_runs(tmp_path):
    """One that the flows started by it find, and that ends with it; its exit code is passed on."""
    ask = (
        "import os, sys, urllib.request, flows; "
        "sys.exit(urllib.request.urlopen(os.environ['PREFECT_API_URL'] + '/health').status - 193)"
    )
    done = with_server(tmp_path, "python", "-c", ask)
    assert done.returncode == 200 - 193, done.stderr
    assert not (tmp_path / SERVER).exists()


def test_a_stage_is_a_flow_where_there_is_a_server(tmp_path):
    code = """
from flows.stage import in_flow, main, stage

@stage
def watched() -> None:
    print("in a flow:", in_flow())

main(watched)
"""
    (tmp_path / "program.py").write_text(code)
    dead = dict.fromkeys(("HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")
    assert with_server(tmp_path, "python", "program.py", **dead).stdout == "in a flow: True\n"
    assert run(tmp_path, "python", "program.py", **CODE).stdout == "in a flow: False\n"


def test_a_command_that_does_not_exist_is_named(tmp_path):
    done = with_server(tmp_path, "dvcc", "repro")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("flows.prefect_server: dvcc: No such file or directory.")


def test_a_server_of_the_users_own_is_kept(tmp_path):
    show = "import os; print(os.environ['PREFECT_API_URL'])"
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api"
        done = with_server(tmp_path, "python", "-c", show, PREFECT_API_URL=url)
        server.shutdown()
    assert done.stdout.strip() == url


def test_a_server_of_the_users_own_that_is_down_is_told_at_once(tmp_path):
    done = with_server(tmp_path, "python", "-c", "1", PREFECT_API_URL="http://127.0.0.1:1/api")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "PREFECT_API_URL is http://127.0.0.1:1/api: no Prefect server answers there" in done.stderr


def test_signals_end_the_command_and_the_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "flows.prefect_server", "sh", "-c", "echo here; exec sleep 300"]
    env = environment(tmp_path) | CODE
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        url = running_server()
        assert url is not None
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert running_server() is None and not SERVER.exists()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", urlparse(url).port), timeout=1)


def with_server(folder: Path, *command: str, **more: str) -> subprocess.CompletedProcess:
    """`python -m flows.prefect_server COMMAND` in `folder`."""
    return run(folder, "python", "-m", "flows.prefect_server", *command, **(CODE | more))
