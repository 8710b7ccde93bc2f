"""Prefect's server with its UI, and a worker of the pool `local`, until Ctrl-C.

python -m flows.prefect_server
python -m flows.prefect_server --port 4300
prefect deploy --all                          # in another terminal, once: the deployment
prefect deployment run train-caption

python -m flows.prefect_server dvc repro      # the server alone, for as long as this command runs
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import UserError
from components.program import command_line, main
from flows.server_address import announced, require_answer, running_server

HOST, POOL = "127.0.0.1", "local"
START_SECONDS, STOP_SECONDS = 300, 60  # a busy machine; a worker gives its runs 30 s to end


def serve(port: int = 4200) -> None:
    """Run server and worker until a signal comes or one of the two ends.

    Raises:
        UserError: not the project root, the port is taken, or one of the two stopped by itself.
    """
    if not Path("prefect.yaml").exists():
        raise UserError("No prefect.yaml here: run from the project root.")
    if url := running_server():
        raise UserError(f"A server of this project runs already: {url}")
    free_port(port)
    worker = ["worker", "start", "--pool", POOL, "--type", "process"]
    with server(port) as (url, server_process), prefect(url, *worker) as worker_process:
        wait_for(f"{url}/work_pools/{POOL}", worker_process)  # its own; `prefect deploy` needs it
        with announced(url):
            print(f"\nLook at http://{HOST}:{port}   Stop with Ctrl-C\n", flush=True)
            while server_process.poll() is None and worker_process.poll() is None:
                time.sleep(0.5)
    raise UserError("The server or the worker stopped by itself; the messages above say why.")


def run(command: list[str]) -> int:
    """Run `command` with one server for all flows that it starts, and return its exit code.

    Without a server stages are plain Python, and nobody can watch them. Where there is one already, this
    project's or the user's own, that one serves.

    Raises:
        UserError: there is no such command.
    """
    from prefect.settings import PREFECT_API_URL  # environment or profile

    if url := PREFECT_API_URL.value():
        require_answer(url)
        os.environ["PREFECT_API_URL"] = url  # where stages look
        return attend(command)
    with server(free_port(), greet=False) as (url, _), announced(url):
        return attend(command)


@contextmanager
def server(port: int, greet: bool = True) -> Iterator[tuple[str, subprocess.Popen]]:
    """Prefect's server while the body runs: the address of its API, once it answers, and its process."""
    url = f"http://{HOST}:{port}/api"
    with prefect(url, "server", "start", "--host", HOST, "--port", str(port), greet=greet) as process:
        wait_for(f"{url}/health", process)
        yield url, process


def attend(command: list[str]) -> int:
    """Wait for `command`, pass signals on to it, and return its exit code, as a shell would."""
    process, early = None, []

    def pass_on(number: int, _: object) -> None:
        """Or keep it until there is a command."""
        if process is None:
            early.append(number)
        else:
            process.send_signal(number)

    # Before the command is there: a signal that comes at its start would end this process alone.
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C in a terminal reaches the command by itself
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        raise UserError(f"{command[0]}: {error.strerror}.") from None
    for kept in early:
        process.send_signal(kept)
    code = process.wait()
    return code if code >= 0 else 128 - code


def free_port(port: int = 0) -> int:
    """`port`, or any (0), that nothing listens at.

    Raises:
        UserError: something listens at `port`.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"Port {port}: {error.strerror}. Choose another: --port {port + 1}") from None
        return probe.getsockname()[1]


@contextmanager
def prefect(url: str, *arguments: str, greet: bool = True) -> Iterator[subprocess.Popen]:
    """`prefect ARGUMENTS` in the background, with the server at `url`; stopped as by Ctrl-C when the body
    ends. Errors are always shown, the rest of what it prints if it is to `greet`.
    """
    environment = os.environ | {
        "PREFECT_API_URL": url,
        # Absolute: a worker starts its runs in a folder of their own.
        "PREFECT_HOME": os.environ.get("PREFECT_HOME", str(Path(".prefect").resolve())),
        "PREFECT_WORKER_QUERY_SECONDS": "2",  # a run begins soon after it is asked for
        "PREFECT_LOGGING_LOG_PRINTS": "true",  # what stages print stands in the UI
    }
    # In a session of its own: Ctrl-C reaches only us, and we stop the worker, then the server.
    command = [sys.executable, "-m", "prefect", *arguments]
    stdout = None if greet else subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=stdout)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(address: str, process: subprocess.Popen) -> None:
    """Return as soon as the server has what lies at `address`.

    Raises:
        UserError: `process`, which is to bring it about, ended, or five minutes have passed.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise UserError("The server or the worker did not start; the messages above say why.")
        try:
            with urllib.request.urlopen(address, timeout=30):
                return
        except OSError:
            time.sleep(0.2)
    raise UserError(f"Nothing at {address} after {START_SECONDS} s: the server or the worker hangs.")


def until_stopped(port: int, command: list[str]) -> int | None:
    """Run `command` with a server, or server and worker by themselves; a signal ends these in good order."""
    signal.signal(signal.SIGHUP, signal.default_int_handler)  # as `main` does with SIGINT and SIGTERM
    try:
        if command:
            return run(command)
        serve(port)
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
    return None


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--port", type=int, default=4200, help="of server and UI (%(default)s)")
    parser.add_argument(
        "command", nargs=argparse.REMAINDER, help="run it with a server, without a worker, and stop with it"
    )
    main(until_stopped, **vars(parser.parse_args()))
