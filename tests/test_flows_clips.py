"""Captioning of clips: what the model is given of them."""

import numpy as np
import pytest
from PIL import Image

from components.data.pictures import Problem
from flows.caption import pictures
from flows.shards import open_frames


@pytest.fixture
def folder(tmp_path):
    """A picture, a clip of 20 frames that brighten, and one that is no clip."""
    av = pytest.importorskip("av")
    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    with av.open(str(tmp_path / "b.MP4"), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height = 64, 48
        for number in range(20):
            frame = np.full((48, 64, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    (tmp_path / "c.webm").write_bytes(b"no clip")
    return tmp_path


def test_folders_are_searched_for_pictures_and_clips(folder):
    assert [path.name for path in pictures([str(folder)])] == ["a.png", "b.MP4", "c.webm"]


def test_a_clip_is_seen_in_frames_from_beginning_to_end(folder):
    frames = open_frames(folder / "b.MP4", 4)
    brightness = [np.asarray(frame).mean() for frame in frames]
    assert np.allclose(brightness, [20, 70, 120, 170], atol=12)
    assert len(open_frames(folder / "a.png", 4)) == 1


def test_a_clip_that_cannot_be_read_is_a_problem(folder):
    with pytest.raises(Problem, match="image-unreadable"):
        open_frames(folder / "c.webm", 4)
