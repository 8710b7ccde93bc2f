"""`scenes`: the embedded data set, drawn here (`components.data.scenes`)."""

from pathlib import Path

from components.data.scenes import compose
from components.data.sources.base import Raw, Source, raw_tables


class Scenes(Source):
    """Reads `data.num_images`, `data.image_size` and `data.seed`."""

    name = "scenes"

    def read(self, workdir: Path) -> Raw:
        """Draw the pictures into `workdir`/images."""
        o = self.options
        images, captions = compose(workdir, o.num_images, o.image_size, o.seed)
        images = images.rename(columns={"file_name": "file"})[["image_id", "file", "split", "kind", "group"]]
        images["row"] = images["image_id"]
        captions["row"] = captions["image_id"]
        return raw_tables(images.to_dict("list"), captions.to_dict("list"), workdir / "images")
