"""The command `captioner`: one name for all programs, one --help."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from flows.command import PROGRAMS, usage
from tests.flows_fixtures import ROOT

CALL = "import sys; from flows.command import main; sys.argv[0] = 'captioner'; main()"


def captioner(*arguments: str, cwd=ROOT) -> subprocess.CompletedProcess[str]:
    """As the installed script calls it."""
    command = [sys.executable, "-c", CALL, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_help_names_every_command_and_its_module_exists():
    done = captioner("--help")
    assert done.returncode == 0 and done.stdout.strip() == usage()
    assert all(find_spec(module) and f"  {name} " in done.stdout for name, (module, _) in PROGRAMS.items())
    assert captioner().stdout == done.stdout


def test_an_unknown_command_is_one_message():
    done = captioner("capption", "a.png")
    assert done.returncode == 1 and done.stderr.startswith("captioner: 'capption' is no command. There are: ")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_command_tells_what_it_does(name):
    done = captioner(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: captioner {name} ")
    assert f"python -m {PROGRAMS[name][0]}" not in done.stdout


def test_a_mistake_is_told_by_the_name_that_was_typed(tmp_path):
    done = captioner("caption", str(tmp_path / "no.png"))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("captioner caption: ")


def test_the_example_is_captioned_at_once(tmp_path):
    """Nothing trained, nothing registered: a bridge that comes with the project."""
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    (tmp_path / "params.yaml").symlink_to(ROOT / "params.yaml")
    done = captioner("caption", str(ROOT / "docs/example.png"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Nothing is registered yet: captions by pretrained/captioner/mlp." in done.stderr
    caption = json.loads(done.stdout)["caption"]
    assert "frog" in caption and "snowman" in caption and "purple" in caption
    assert caption in (ROOT / "README.md").read_text()
    assert not (tmp_path / "mlruns").exists()
