"""Where the drawings of a scene stand, and how large they are."""

from components.data.scenes.drawing import Drawing
from components.data.scenes.grammar import Pair, Scene

CENTRES = {1: (0.5,), 2: (0.26, 0.74), 3: (0.18, 0.5, 0.82)}
SIDE = {1: 0.5, 2: 0.42, 3: 0.3}
"""Where 1, 2 or 3 drawings stand along an axis, and how large they are, as shares of the picture."""


def layout(scene: Scene) -> list[tuple[Drawing, float, float, float]]:
    """(drawing, x, y, side) of every drawing in `scene`: centre and side as shares of the picture."""
    if isinstance(scene, Pair):
        return _pair_layout(scene)
    if scene.number == 1:
        x, y = {"left": (0.27, 0.5), "right": (0.73, 0.5), "top": (0.5, 0.27), "bottom": (0.5, 0.73)}.get(
            scene.place, (0.5, 0.5)
        )
        return [(scene.drawing, x, y, SIDE[1])]
    if scene.place == "square":
        return [(scene.drawing, x, y, SIDE[2]) for y in CENTRES[2] for x in CENTRES[2]]
    along = CENTRES[scene.number]
    points = [(a, 0.5) if scene.place == "row" else (0.5, a) for a in along]
    return [(scene.drawing, x, y, SIDE[scene.number]) for x, y in points]


def _pair_layout(scene: Pair) -> list[tuple[Drawing, float, float, float]]:
    """`first` in the left or upper half, `second` in the other; two of a kind stand across that axis."""
    placed = []
    drawn = ((scene.first, scene.first_number), (scene.second, scene.second_number))
    for (drawing, number), along in zip(drawn, CENTRES[2], strict=True):
        for across in CENTRES[number]:
            x, y = (along, across) if scene.horizontal else (across, along)
            placed.append((drawing, x, y, SIDE[2]))
    return placed
