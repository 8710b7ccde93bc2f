"""What programs share: exit codes, one message for a mistake, help, and no proxy between them."""

import errno
import importlib
import runpy
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from components.errors import UserError
from components.program import bypass_proxies, main
from tests.flows_fixtures import ROOT, environment

PROGRAMS = (
    *(f"flows.{path.stem}" for path in (ROOT / "flows").glob("*.py") if "__main__" in path.read_text()),
    "components.data.prepare.contact_sheet",
    "components.evaluation.table",
    "components.model.convert",
    "components.model.summary",
)


@pytest.fixture(autouse=True)
def own_signals():
    """A program sets what these do."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("captions.csv: row 3: no caption."), 1, ": captions.csv: row 3: no caption.\n"),
        (OSError(errno.ENOSPC, "No space left", "models/a"), 1, "the disk, writing models/a. Free some and"),
        (KeyboardInterrupt(), 130, ": interrupted."),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(error, code, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(fail, error)
    told = capsys.readouterr().err
    assert ended.value.code == code and message in told and told.count("\n") == 2


def test_a_bug_keeps_its_traceback_and_a_code_is_passed_on():
    with pytest.raises(ZeroDivisionError):
        main(fail, ZeroDivisionError())
    assert main(lambda: 0) is None
    with pytest.raises(SystemExit, match="^3$"):
        main(lambda: 3)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("module", PROGRAMS)
def test_every_program_has_help_and_refuses_unknown_options(module, monkeypatch, capsys):
    for argument, code in (("--help", 0), ("--unknown", 2)):
        monkeypatch.setattr("sys.argv", [module, argument])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        assert ended.value.code == code
    told = capsys.readouterr()
    assert importlib.import_module(module).__doc__.split()[:4] == told.out.partition("\n\n")[2].split()[:4]
    assert told.err.startswith(f"usage: python -m {module} ") and "error: " in told.err


def test_what_goes_round_proxies_is_extended():
    for given in ({}, {"NO_PROXY": "intern"}, {"no_proxy": "intern, ::1", "NO_PROXY": "other"}):
        names = dict(given)
        bypass_proxies(names)
        bypass_proxies(names)
        hosts = names["NO_PROXY"].split(",")
        assert names["no_proxy"] == names["NO_PROXY"]
        assert sorted(hosts) == sorted({"127.0.0.1", "localhost", "::1"} | ({"intern"} if given else set()))


ASK = """
import sys, urllib.request
import flows
import httpx, requests
url = sys.argv[1]
assert urllib.request.urlopen(url, timeout=10).status == 200
assert requests.get(url, timeout=10).status_code == 200
assert httpx.get(url, timeout=10).status_code == 200
"""


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_no_proxy_comes_between_programs_of_this_machine(kind, tmp_path):
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        dead = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), f"{kind}://127.0.0.1:1")
        command = [sys.executable, "-c", ASK, f"http://127.0.0.1:{server.server_port}"]
        subprocess.run(command, cwd=tmp_path, env=environment(ROOT) | dead, check=True)
        server.shutdown()


class Answering(BaseHTTPRequestHandler):
    """A server that answers everything."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass
