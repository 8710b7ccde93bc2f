"""What DVC cannot watch is refused, and DVC is as blind as that says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.data.watched import require_watchable
from components.errors import UserError
from tests.data.test_formats import NAMES, draw, numbered, read

STAGE = "stages:\n  look:\n    cmd: ls\n    deps: [raw]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """data/, which is whole, and disk/, elsewhere."""
    draw(tmp_path / "data" / "images")
    (tmp_path / "data" / "captions.csv").write_text("image,caption\n" + numbered('{0},"{2}"'))
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "more.csv").write_text("more")
    return tmp_path / "data"


def test_a_link_to_a_folder_is_refused_by_name(folder: Path) -> None:
    (folder / "images" / "shop").symlink_to("../../disk")
    with pytest.raises(UserError, match=r"images/shop -> \.\./\.\./disk.*never see.*set data.folder"):
        read(folder, None, "auto")
    assert not (folder.parent / "prepared").exists()


@pytest.mark.parametrize("name", [b"caf\xe9.png", b"b\xe9b\xe9s/a.png"])
def test_a_name_that_is_not_utf8_is_refused_by_name(folder: Path, name: bytes) -> None:
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(b"")
    with pytest.raises(UserError, match=r"not UTF-8: .*\\xe9.*Rename"):
        read(folder, None, "auto")


def test_links_to_files_and_a_link_as_the_folder_are_fine(folder: Path) -> None:
    first = folder / "images" / NAMES[0]
    first.rename(folder.parent / "disk" / NAMES[0])
    first.symlink_to(folder.parent / "disk" / NAMES[0])
    (folder.parent / "link").symlink_to(folder)
    require_watchable(folder.parent / "link")
    require_watchable(folder.parent / "nowhere")


def dvc(project: Path, *words: str) -> str:
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, errors="replace")
    return done.stdout + done.stderr


def test_dvc_sees_behind_links_to_files_and_not_behind_links_to_folders(tmp_path: Path) -> None:
    """If this fails, DVC has learned to see, and `require_watchable` may let more through."""
    for name in ("raw", "disk"):
        (tmp_path / name).mkdir()
    (tmp_path / "dvc.yaml").write_text(STAGE)
    more = tmp_path / "disk" / "more.csv"
    more.write_text("a")
    (tmp_path / "raw" / "shop").symlink_to("../disk")
    dvc(tmp_path, "init", "--no-scm", "-q")
    dvc(tmp_path, "repro")
    more.write_text("a, changed")
    assert "up to date" in dvc(tmp_path, "repro")
    (tmp_path / "raw" / "more.csv").symlink_to("../disk/more.csv")
    dvc(tmp_path, "repro")
    more.write_text("a, changed again")
    assert "up to date" not in dvc(tmp_path, "repro")
    (tmp_path / "raw" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    told = dvc(tmp_path, "repro")
    assert "codec can't encode" in told and "caf" not in told
