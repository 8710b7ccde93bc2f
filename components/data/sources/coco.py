"""`coco`: COCO captions JSON, one file whose images have a `split`, or one file a split.

{"images": [{"id": 1, "file_name": "a.jpg", "split": "train"}, ...],
 "annotations": [{"id": 7, "image_id": 1, "caption": "a dog"}, ...]}
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.data.sources.base import Raw, Source, raw_tables
from components.errors import UserError


class Coco(Source):
    """Reads `data.annotations` (file, files, split -> file), `data.images` (default: images/ beside it)."""

    name = "coco"

    def read(self, workdir: Path) -> Raw:
        """Images and annotations of all files; ids may be numbers or text."""
        images, captions = [], []
        files = self.annotation_files()
        for file, split in files.items():
            content = read_json(file)
            for number, image in enumerate(entries(file, content, "images")):
                images.append(self.image_row(image, split) | {"row": f"{file.name}: images[{number}]"})
            for number, annotation in enumerate(entries(file, content, "annotations")):
                row = f"{file.name}: annotations[{number}]"
                values = {key: annotation.get(key) for key in ("image_id", "caption")}
                captions.append(values | {"row": row})
        return raw_tables(images, captions, self.image_folder(next(iter(files)).parent / "images"))

    @staticmethod
    def image_row(image: dict[str, Any], split: str | None) -> dict[str, Any]:
        """The file's own `split` field counts only where params.yaml does not say."""
        return {
            "image_id": image.get("id"),
            "file": image.get("file_name"),
            "split": split or image.get("split"),
            "group": image.get("group"),
        }


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
