"""Are captions true, as far as the data says what is true of a picture (`components.data.tables`)?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.data.tables import Tables
from components.evaluation.objects import Objects
from components.evaluation.scenes import Scenes, by_group
from components.evaluation.scoring.metrics import SCENE_KINDS


@dataclass(frozen=True)
class Truth:
    """Judges captions of a split; each part is None where the data lacks its column.

    Attributes:
        kinds: of scenes, for each image.
    """

    objects: Objects | None = None
    scenes: Scenes | None = None
    kinds: Sequence[str] = ()

    @classmethod
    def of(cls, tables: Tables, test: Tables) -> "Truth":
        """Of the images of `test`, a part of `tables`."""
        if "objects" not in test.images or test.images["objects"].isna().all():
            return cls()
        objects = Objects(tables, test)
        if "scene" not in test.images:
            return cls(objects)
        return cls(objects, Scenes(list(test.images["scene"])), list(test.images["kind"]))

    def statistics(self, captions: Sequence[str]) -> dict[str, np.ndarray]:
        """Family -> [n x width] of the captions in the order of the images, see `metrics`."""
        found = {}
        if self.objects:
            found["objects"] = self.objects.statistics(captions)
        if self.scenes:
            found["scene"] = by_group(self.scenes.entirely_right(captions), self.kinds, SCENE_KINDS)
            found["drawings"] = self.objects.exact(captions).astype(np.float64)[:, None]
        return found

    def notes(self, captions: Sequence[str]) -> dict[str, list[Any]]:
        """What to mark: `wrong_names`, the objects named that are not there; `wrong_words`, the places in
        `caption.split()` of what is wrong (of a scene's caption, whatever it is).
        """
        if not self.objects:
            return {}
        invented = self.objects.invented(captions)
        names = [[" or ".join(sorted(mention.names)) for mention in mentions] for mentions in invented]
        places = [[i for m in mentions for i in range(m.start, m.end)] for mentions in invented]
        return {
            "wrong_names": names,
            "wrong_words": self.scenes.wrong_words(captions) if self.scenes else places,
        }
