"""`video`: a table of clips with captions (as `table`, with a column `video`); frames are sampled evenly.

A clip becomes a folder of `data.num_frames` pictures or, if it is shorter, of as many as it has: the
model gets the frames with their mask and time embeddings. Decoded by FFmpeg through PyAV.
"""

import hashlib
import shutil
from pathlib import Path

from PIL import Image

from components.config import Positive
from components.data.pictures import MAX_PIXELS, Problem
from components.data.sources.base import Found
from components.data.sources.columns import IMAGE, VIDEO
from components.data.sources.table import Table

QUALITY = 95  # of the JPEG frames


class Video(Table):
    """Clips lie in `data.images`, or beside the table."""

    name = "video"

    class Options(Table.Options):
        """And how many frames of a clip are kept."""

        num_frames: Positive

    options: Options
    image_columns = (*VIDEO, *IMAGE)

    def ingest(self, file: Path, target: Path) -> Found:
        """Write the sampled frames of clip `file` as `target`/000.jpg, 001.jpg ..."""
        frames = sample_frames(file, self.options.num_frames)
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for number, frame in enumerate(frames):
            frame.save(target / f"{number:03d}.jpg", quality=QUALITY)
        digest = hashlib.sha256(f"{len(frames)} of ".encode() + file.read_bytes()).hexdigest()
        width, height = frames[0].size
        return Found(width, height, digest, num_frames=len(frames))


def sample_frames(file: Path, number: int) -> list[Image.Image]:
    """The frames in the middle of `number` equal parts of the clip; all frames if it has no more than that.

    Decoded twice, the first time to count: the length that a container declares is often wrong or missing.

    Raises:
        Problem: no video in it, or damaged.
    """
    total = sum(1 for _ in _decode(file))
    if not total:
        raise Problem("image-unreadable", "a clip without a frame")
    wanted = {int((i + 0.5) * total / number) for i in range(number)} if total > number else set(range(total))
    return [frame.to_image() for position, frame in enumerate(_decode(file)) if position in wanted]


def _decode(file: Path):
    """The frames of the first video stream, one after the other."""
    import av  # FFmpeg: heavy, and only needed for clips

    try:
        with av.open(str(file)) as container:
            if not container.streams.video:
                raise Problem("image-unreadable", "no video stream")
            stream = container.streams.video[0]
            if stream.width * stream.height > MAX_PIXELS:
                raise Problem("image-too-large", f"{stream.width} x {stream.height} pixels")
            yield from container.decode(stream)
    except (av.FFmpegError, ValueError) as error:
        raise Problem("image-unreadable", " ".join(str(error).split())) from None
