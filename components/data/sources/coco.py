"""`coco`: COCO captions JSON, one file whose images have a `split`, or one file a split.

{"images": [{"id": 1, "file_name": "a.jpg", "split": "train"}, ...],
 "annotations": [{"id": 7, "image_id": 1, "caption": "a dog"}, ...]}
"""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

from components.data.sources.base import Files, Raw, Source
from components.data.sources.instances import add_objects
from components.data.sources.json_files import entries, read_json
from components.errors import UserError


class Coco(Source):
    """Pictures lie in `data.images`, or in images/ beside the annotations."""

    name = "coco"

    class Options(Source.Options):
        """And what is to be seen."""

        objects: Files = None  # COCO instances

    options: Options

    def read(self, workdir: Path) -> Raw:
        """Images and annotations of all files; ids may be numbers or text.

        Where one file a split is given and each numbers its images from 1, the split goes before the id.
        """
        images: list[list[dict[str, Any]]] = []
        captions: list[list[dict[str, Any]]] = []
        files = self.annotation_files()
        for file, split in files.items():
            content = read_json(file)
            refuse_instances(file, content)
            rows = [_image(file, n, e, split) for n, e in enumerate(entries(file, content, "images"))]
            kept, rejected = _captions(file, content)
            emptied = {str(row["image_id"]) for row in rejected} - {str(row["image_id"]) for row in kept}
            images.append([row for row in rows if str(row["image_id"]) not in emptied])
            captions.append(kept)
            self.left_out += Counter(
                {"rejected_caption": len(rejected), "without_other_caption": len(emptied)}
            )
        add_objects([*chain(*images)], self)
        ids = [{str(row["image_id"]) for row in rows} for rows in images]
        if None not in files.values() and sum(map(len, ids)) > len(set().union(*ids)):
            if self.options.objects and not isinstance(self.options.objects, dict):
                raise UserError(
                    "data.objects names no splits, but the splits of data.annotations share image ids: "
                    "give it as {train: ..., val: ..., test: ...}."
                )
            for split, *tables in zip(files.values(), images, captions, strict=True):
                for row in chain(*tables):
                    row["image_id"] = f"{split}/{row['image_id']}" if row["image_id"] is not None else None
        return self.tables([*chain(*images)], [*chain(*captions)])


def refuse_instances(file: Path, content: dict[str, Any]) -> None:
    """Name the mistake where boxes are given for captions.

    Raises:
        UserError: annotations have categories, and no captions.
    """
    first = next(entries(file, content, "annotations"), {}) if "annotations" in content else {}
    if "category_id" in first and "caption" not in first:
        raise UserError(
            f"{file}: objects, no captions. Take captions_*.json of the same pictures; this file can be "
            "data.objects."
        )


def _image(file: Path, number: int, image: dict[str, Any], split: str | None) -> dict[str, Any]:
    """The file's own `split` field counts only where params.yaml does not say."""
    return {
        "image_id": image.get("id"),
        "file": image.get("file_name"),
        "split": split or image.get("split"),
        "group": image.get("group"),
        "beside": file.parent / "images",
        "row": f"{file.name}: images[{number}]",
    }


def _captions(file: Path, content: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of captions, and those that VizWiz marks as of no use: rejected, or a ready-made excuse."""
    kept: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for number, entry in enumerate(entries(file, content, "annotations")):
        row = {"image_id": entry.get("image_id"), "caption": entry.get("caption")}
        row["row"] = f"{file.name}: annotations[{number}]"
        (rejected if entry.get("is_rejected") or entry.get("is_precanned") else kept).append(row)
    return kept, rejected
