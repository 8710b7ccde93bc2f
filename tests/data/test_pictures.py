"""Pictures of phones, and what moves: which frames of a file are seen, wherever it is opened."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from components.data.clips import sample_frames
from components.data.pictures import Problem, load_rgb
from components.data.shards import Slice
from components.data.sources.video import Video

HEIC = base64.b64decode(  # 64 x 48, its left half blue, its right half red
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJp"
    "bG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAADoAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAAB"
    "AAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEA"
    "AQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAA"
    "FGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhp"
    "cG1hAAAAAAAAAAEAAQWBAgMFhAAAAEJtZGF0AAAANigBr1jm9Oq//+nA+R+U9P/0p59X/sL6/7pva/tnJUktWrt79jHjUMUshC0gYPU5"
    "+nkMHcGiFA=="
)


def moving(kind: str, number: int = 10, **options) -> bytes:
    """A picture of that many grey frames, each 20 brighter than the one before."""
    frames = [Image.new("RGB", (32, 32), (20 * n, 20 * n, 20 * n)) for n in range(number)]
    content = io.BytesIO()
    frames[0].save(content, kind, save_all=True, append_images=frames[1:], **options)
    return content.getvalue()


def shades(frames) -> list[int]:
    return [round(np.asarray(frame).mean() / 20) for frame in frames]


def test_what_an_iphone_writes_is_read():
    picture = load_rgb(HEIC)
    assert picture.size == (64, 48)
    assert np.allclose(picture.getpixel((10, 10)), (30, 60, 220), atol=8)
    assert np.allclose(picture.getpixel((50, 10)), (220, 30, 30), atol=8)
    assert [frame.size for frame in sample_frames(HEIC, 4)] == [(64, 48)]
    with pytest.raises(Problem, match="image-unreadable"):
        load_rgb(HEIC[:300])
    with pytest.raises(Problem, match="not a picture of a known format"):
        sample_frames(HEIC[:28] + bytes(60), 4)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
def test_pictures_that_move_are_clips(kind):
    content = moving(kind)
    assert shades(sample_frames(content, 4)) == [1, 3, 6, 8]
    assert shades(sample_frames(content, 20)) == list(range(10))
    assert shades(sample_frames(content, 1)) == shades([load_rgb(content)]) == [0]
    with pytest.raises(Problem):
        sample_frames(content[: len(content) // 3], 4)


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
def test_pages_and_the_second_eye_of_a_camera_are_no_clip(kind):
    assert shades(sample_frames(moving(kind), 4)) == [0]


def test_a_gif_with_transparency_lies_on_white_in_every_frame():
    frames = [Image.new("RGBA", (16, 16), (0, 0, 0, 0)) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame.putpixel((number, 0), (255, 0, 0, 255))
    content = io.BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:], disposal=2)
    assert [frame.getpixel((9, 9)) for frame in sample_frames(content.getvalue(), 3)] == [(255, 255, 255)] * 3


def test_training_keeps_the_frames_that_captioning_sees(tmp_path):
    for kind, ending in (("GIF", "gif"), ("WEBP", "webp")):
        file = tmp_path / f"clip.{ending}"
        file.write_bytes(moving(kind))
        kept = Video(Video.Options(num_frames=4)).ingest(Slice(file), tmp_path / "scratch").frames
        assert shades(map(load_rgb, kept)) == shades(sample_frames(file.read_bytes(), 4))


def test_a_raw_photograph_is_not_seen_by_its_preview():
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "TIFF", tiffinfo={50706: b"\x01\x04\x00\x00"})
    with pytest.raises(Problem, match="a camera's raw file"):
        load_rgb(content.getvalue())
