"""Clips: videos, and pictures that move (GIF, WebP, APNG, AVIF). Here alone it is decided, by a file's
content, what is one, and which of its frames are seen: in training, captioning and the service.

Pictures that move are opened by Pillow, as pictures are; videos are decoded by FFmpeg through PyAV.
"""

import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from components.data.pictures import MAX_PIXELS, PICTURE_ENDINGS, Problem, opened
from components.data.rgb import to_rgb

if TYPE_CHECKING:
    from av import VideoFrame

VIDEO_ENDINGS = (
    *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts"),
    *(".webm", ".wmv"),
)
ENDINGS = (*PICTURE_ENDINGS, *VIDEO_ENDINGS)
"""By which pictures and clips are found in folders."""

MOVING = {"GIF", "WEBP", "PNG", "AVIF"}
"""Formats whose pictures are shown one after the other; the pages of a TIFF are not."""

CONTAINERS = (
    *(b"\x1aE\xdf\xa3", b"FLV", b"OggS", b"\x30\x26\xb2\x75", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"),
    b"\x47\x40",
)
BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")  # of MP4 and QuickTime, after a length
PICTURE_BRANDS = (b"hei", b"hev", b"mif", b"msf", b"avi")


def sample_frames(data: bytes, number: int) -> list[Image.Image]:
    """The one frame of a picture; of a clip the frames in the middle of `number` equal parts, or all if it
    has no more than that.

    One frame of a picture that moves is its first, as `load_rgb` opens it, so that data sets of pictures and
    of clips of one frame are seen alike.

    Raises:
        Problem: neither a picture nor a clip, or damaged.
    """
    if is_video(data):
        return _sample_video(data, number)
    with opened(data) as image:
        moves = number > 1 and image.format in MOVING
        frames = []
        for position in _middles(image.n_frames, number) if moves else [0]:
            image.seek(position)
            frames.append(to_rgb(image))
        return frames


def is_video(data: bytes) -> bool:
    """By its first bytes: FFmpeg would try anything, playlists that name other files too."""
    if data[4:8] in BOXES:
        return data[8:11] not in PICTURE_BRANDS
    return data.startswith(CONTAINERS) or (data[:4] == b"RIFF" and data[8:12] == b"AVI ")


def _middles(total: int, number: int) -> Sequence[int]:
    return [int((i + 0.5) * total / number) for i in range(number)] if total > number else range(total)


def _sample_video(data: bytes, number: int) -> list[Image.Image]:
    """Decoded twice, the first time to count: the length that a container declares is often wrong or
    missing.
    """
    total = sum(1 for _ in _decode(data))
    if not total:
        raise Problem("image-unreadable", "a clip without a frame")
    wanted = set(_middles(total, number))
    return [_upright(frame) for position, frame in enumerate(_decode(data)) if position in wanted]


def _upright(frame: "VideoFrame") -> Image.Image:
    """As its rotation mark says: a phone stores what it filmed upright lying down. Degrees anticlockwise."""
    image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _decode(clip: bytes) -> "Iterator[VideoFrame]":
    """The frames of the first video stream, one after the other."""
    import av  # FFmpeg: heavy, and only needed for videos

    try:
        with av.open(io.BytesIO(clip)) as container:
            if not container.streams.video:
                raise Problem("image-unreadable", "no video stream")
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise Problem("image-too-large", f"{stream.width} x {stream.height} pixels")
            yield from container.decode(stream)
    except (av.FFmpegError, ValueError) as error:
        raise Problem("image-unreadable", " ".join(str(error).split())) from None
