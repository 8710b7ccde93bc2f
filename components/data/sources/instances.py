"""Objects in pictures, from the instances files of COCO: `data.objects`, a file, files, or {split: file}.

{"images": [{"id": 1}, ...], "annotations": [{"image_id": 1, "category_id": 18}, ...],
 "categories": [{"id": 18, "name": "dog"}, ...]}
"""

from pathlib import Path
from typing import Any

from components.data.sources.base import Source
from components.data.sources.json_files import entries, read_json
from components.data.sources.values import plain_text, split_name
from components.data.synonyms import with_synonyms
from components.errors import UserError


def add_objects(images: list[dict[str, Any]], source: Source) -> None:
    """Give each of `images` its `objects` (`components.data.tables`), if `data.objects` names files.

    Args:
        images: rows with `image_id`, as the instances files have it, and `split`.

    Raises:
        UserError: a file is missing or no instances file, or has none of the images.
    """
    files = source.files_of("objects")
    if not files:
        return
    known: dict[str | None, dict[str, list[list[str]]]] = {}
    for file, split in files.items():
        known.setdefault(split_name(split), {}).update(read_instances(file))
    for image in images:
        of_split = known.get(split_name(image["split"]), known.get(None, {}))
        image["objects"] = of_split.get(plain_text(image["image_id"]))
    if not any(image["objects"] is not None for image in images):
        names = ", ".join(map(str, files))
        first = images[0]["image_id"] if images else "none"
        raise UserError(
            f"data.objects: {names}: not one image_id of data.annotations (such as {first!r}) is there. "
            "Take the instances of the same pictures."
        )


def read_instances(file: Path) -> dict[str, list[list[str]]]:
    """image_id -> its categories, each once, by name with synonyms; [] where nothing is annotated.

    Raises:
        UserError: not an instances file; names what is missing.
    """
    content = read_json(file)
    names = {entry.get("id"): entry.get("name") for entry in entries(file, content, "categories")}
    found: dict[str, dict[str, None]] = {
        plain_text(image.get("id")): {} for image in entries(file, content, "images")
    }
    for number, annotation in enumerate(entries(file, content, "annotations")):
        category, image_id = annotation.get("category_id"), plain_text(annotation.get("image_id"))
        if not isinstance(names.get(category), str):
            raise UserError(
                f"{file}: annotations[{number}]: category_id {category!r} is none of its categories. "
                "Is this an instances file?"
            )
        found.setdefault(image_id, {})[names[category]] = None
    return {image_id: [with_synonyms(name) for name in several] for image_id, several in found.items()}
