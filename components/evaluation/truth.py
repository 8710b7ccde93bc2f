"""Are captions true, as far as the data says what is true of a picture (`components.data.tables`)?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.data.tables import Tables
from components.evaluation.objects import Objects
from components.evaluation.scenes import Scenes, by_group
from components.evaluation.scoring.language import Language
from components.evaluation.scoring.metrics import SCENE_KINDS


class Truth:
    """Judges captions of the images of `test`, a part of `tables`, by what the data's columns say: `objects`,
    and of scenes `scene` and `kind`. Captions that are not English are not judged: the plurals and idioms of
    objects are English, and a caption that names none of them would invent none.
    """

    def __init__(self, tables: Tables, test: Tables, language: Language):
        self.objects = self.scenes = None
        if language.english and "objects" in test.images and test.images["objects"].notna().any():
            self.objects = Objects(tables, test)
            if "scene" in test.images:
                self.scenes = Scenes(list(test.images["scene"]))
                self.kinds = list(test.images["kind"])

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
