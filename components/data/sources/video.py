"""`video`: a table of clips with captions (as `table`, with a column `video`); frames are sampled evenly.

A clip becomes `data.num_frames` pictures or, if it is shorter, as many as it has (`components.data.clips`),
turned as a player shows them: the model gets the frames with their mask and time embeddings.
"""

import hashlib
from pathlib import Path

from components.config import Positive
from components.data.clips import sample_frames
from components.data.looks import glimpse_of
from components.data.pictures import content
from components.data.shards import Slice
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

    def ingest(self, place: Slice, scratch: Path) -> Found:
        """See `ingest_clip`."""
        return ingest_clip(place, scratch, self.options.num_frames)


def ingest_clip(place: Slice, scratch: Path, num_frames: int) -> Found:
    """Write the sampled frames of the clip at `place` into `scratch`."""
    data = content(place)
    frames = sample_frames(data, num_frames)
    digest = hashlib.sha256(f"{len(frames)} of ".encode() + data).hexdigest()
    scratch.mkdir(parents=True, exist_ok=True)
    written = []
    for number, frame in enumerate(frames):
        file = scratch / f"{digest}-{number:03d}.jpg"
        frame.save(file, quality=QUALITY)
        written.append(Slice(file, 0, file.stat().st_size))
    width, height = frames[0].size
    return Found(width, height, digest, written, glimpse_of(frames[len(frames) // 2]))
