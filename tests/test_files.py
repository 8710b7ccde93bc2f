"""Outputs appear whole or not at all."""

import os

import pytest
import torch
from safetensors.torch import save_file

from components.files import atomic_path, follow_umask


def test_a_file_appears_when_complete(tmp_path):
    with atomic_path(tmp_path / "a.txt") as path:
        path.write_text("new")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with atomic_path(tmp_path / "out") as path:
        path.mkdir()
        (path / "new").touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weights_can_be_read_by_whom_the_umask_lets(umask, mode, tmp_path):
    before = os.umask(umask)
    try:
        save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
        follow_umask(tmp_path)
    finally:
        os.umask(before)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == mode
