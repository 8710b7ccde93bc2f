"""`coco`: COCO captions JSON, one file whose images have a `split`, or one file a split.

{"images": [{"id": 1, "file_name": "a.jpg", "split": "train"}, ...],
 "annotations": [{"id": 7, "image_id": 1, "caption": "a dog"}, ...]}
"""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from components.data.sources.base import Raw, Source
from components.errors import UserError


class Coco(Source):
    """Reads `data.annotations` (file, files, split -> file), `data.images` (default: images/ beside it)."""

    name = "coco"

    def read(self, workdir: Path) -> Raw:
        """Images and annotations of all files; ids may be numbers or text.

        Where one file a split is given and each numbers its images from 1, the split goes before the id.
        """
        images: list[list[dict[str, Any]]] = []
        captions: list[list[dict[str, Any]]] = []
        files = self.annotation_files()
        for file, split in files.items():
            content = read_json(file)
            images.append([_image(file, n, e, split) for n, e in enumerate(entries(file, content, "images"))])
            captions.append(
                [_caption(file, n, e) for n, e in enumerate(entries(file, content, "annotations"))]
            )
        ids = [{str(row["image_id"]) for row in rows} for rows in images]
        if None not in files.values() and sum(map(len, ids)) > len(set().union(*ids)):
            for split, *tables in zip(files.values(), images, captions, strict=True):
                for row in chain(*tables):
                    row["image_id"] = f"{split}/{row['image_id']}" if row["image_id"] is not None else None
        return self.tables([*chain(*images)], [*chain(*captions)])


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


def _caption(file: Path, number: int, annotation: dict[str, Any]) -> dict[str, Any]:
    row = f"{file.name}: annotations[{number}]"
    return {"image_id": annotation.get("image_id"), "caption": annotation.get("caption"), "row": row}


def read_json(file: Path) -> dict[str, Any]:
    """The object in `file`.

    Raises:
        UserError: not UTF-8, not JSON, or not an object.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not valid JSON: {error}.") from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}.") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{file}: a {type(content).__name__}, where an object was expected. Is this the right file?"
        )
    return content


def entries(file: Path, content: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The objects of the list at `key`; what is none becomes an empty one, and with that a fault.

    Raises:
        UserError: no such list.
    """
    if not isinstance(content.get(key), list):
        raise UserError(f"{file}: no list '{key}'. It has: {', '.join(list(content)[:10])}.")
    return (entry if isinstance(entry, dict) else {} for entry in content[key])
