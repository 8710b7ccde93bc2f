"""`video`: a table of clips with captions (as `table`, with a column `video`); frames are sampled evenly.

A clip becomes `data.num_frames` pictures or, if it is shorter, as many as it has, turned as a player shows
them: the model gets the frames with their mask and time embeddings. Decoded by FFmpeg through PyAV.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from components.config import Positive
from components.data.pictures import MAX_PIXELS, Problem, content
from components.data.shards import Slice
from components.data.sources.base import Found
from components.data.sources.columns import IMAGE, VIDEO
from components.data.sources.table import Table

if TYPE_CHECKING:
    from av import VideoFrame

QUALITY = 95  # of the JPEG frames


class Video(Table):
    """Clips lie in `data.images`, or beside the table."""

    name = "video"

    class Options(Table.Options):
        """And how many frames of a clip are kept."""

        num_frames: Positive

    options: Options
    image_columns = (*VIDEO, *IMAGE)

    def ingest(self, place: Slice, scratch: Path) -> Found:
        """Write the sampled frames of the clip at `place` into `scratch`."""
        data = content(place)
        frames = sample_frames(data, self.options.num_frames)
        digest = hashlib.sha256(f"{len(frames)} of ".encode() + data).hexdigest()
        scratch.mkdir(parents=True, exist_ok=True)
        written = []
        for number, frame in enumerate(frames):
            file = scratch / f"{digest}-{number:03d}.jpg"
            frame.save(file, quality=QUALITY)
            written.append(Slice(file, 0, file.stat().st_size))
        width, height = frames[0].size
        return Found(width, height, digest, written)


def sample_frames(clip: bytes, number: int) -> list[Image.Image]:
    """The frames in the middle of `number` equal parts of the clip, turned as a player shows them; all frames
    if it has no more than that.

    Decoded twice, the first time to count: the length that a container declares is often wrong or missing.

    Raises:
        Problem: no video in it, or damaged.
    """
    total = sum(1 for _ in _decode(clip))
    if not total:
        raise Problem("image-unreadable", "a clip without a frame")
    wanted = {int((i + 0.5) * total / number) for i in range(number)} if total > number else set(range(total))
    return [_upright(frame) for position, frame in enumerate(_decode(clip)) if position in wanted]


def _upright(frame: "VideoFrame") -> Image.Image:
    """As its rotation mark says: a phone stores what it filmed upright lying down. Degrees anticlockwise."""
    image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _decode(clip: bytes) -> "Iterator[VideoFrame]":
    """The frames of the first video stream, one after the other."""
    import av  # FFmpeg: heavy, and only needed for clips

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
