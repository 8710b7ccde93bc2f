"""What is true of a scene, as its row of the images table keeps it: columns `objects` and `scene`."""

import json
from dataclasses import asdict

from components.data.scenes.drawing import Drawing
from components.data.scenes.grammar import Counts, Pair, Scene
from components.data.scenes.grounds import Ground
from components.data.synonyms import with_synonyms

MINIMAL_PAIRS = "minimal_pairs"
"""Folder of a data set's minimal pairs (`components.data.scenes.minimal_pairs`), inside its own."""


def objects_of(scene: Scene) -> list[list[str]]:
    """The drawings by name, each with its synonyms: [["black cat", "cat", "kitten"], ["bell"]]."""
    return [_names(drawing) for drawing, _ in scene.things]


def _names(drawing: Drawing) -> list[str]:
    """A name that holds a colour is said without it, too: 'cat' for 'black cat'."""
    return list(dict.fromkeys([drawing.name, *with_synonyms(drawing.noun)]))


def to_json(scene: Scene) -> str:
    """All of `scene`, its drawings' words included: whoever reads it needs no drawings."""
    return json.dumps(asdict(scene), ensure_ascii=False)


def from_json(text: str) -> Scene:
    """What `to_json` wrote."""
    fields = json.loads(text)
    fields["ground"] = Ground(*fields["ground"])
    if "drawing" in fields:
        return Counts(**fields | {"drawing": Drawing(**fields["drawing"])})
    return Pair(**fields | {name: Drawing(**fields[name]) for name in ("first", "second")})
