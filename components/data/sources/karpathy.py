"""`karpathy`: dataset_coco.json, dataset_flickr8k.json, dataset_flickr30k.json of Karpathy and Fei-Fei 2015.

    {"images": [{"filepath": "val2014", "filename": "a.jpg", "imgid": 0, "split": "restval",
                 "sentences": [{"raw": "a dog", "sentid": 3}, ...]}, ...], "dataset": "coco"}

`restval` is folded into train, as every published result does.
"""

from pathlib import Path

from components.data.sources.base import Raw, Source
from components.data.sources.coco import Coco
from components.data.sources.instances import add_objects
from components.data.sources.json_files import entries, read_json


class Karpathy(Source):
    """Pictures lie below `data.images`, or below the folder that the file lies in."""

    name = "karpathy"
    Options = Coco.Options

    def read(self, workdir: Path) -> Raw:
        """Images with the raw sentences that stand in them."""
        images, captions = [], []
        for file, split in self.annotation_files().items():
            for number, image in enumerate(entries(file, read_json(file), "images")):
                row = f"{file.name}: images[{number}]"
                image_id = image.get("cocoid", image.get("imgid"))
                parts = [part for part in (image.get("filepath"), image.get("filename")) if part]
                images.append(
                    {
                        "image_id": image_id,
                        "file": "/".join(map(str, parts)) or None,
                        "split": split or image.get("split"),  # restval becomes train
                        "beside": file.parent,
                        "row": row,
                    }
                )
                for position, sentence in enumerate(image.get("sentences") or []):
                    text = sentence.get("raw") if isinstance(sentence, dict) else sentence
                    captions.append(
                        {"image_id": image_id, "caption": text, "row": f"{row}.sentences[{position}]"}
                    )
        add_objects(images, self)
        return self.tables(images, captions)
