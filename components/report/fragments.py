"""Parts of the page of `flows.demo`, as HTML: what is clicked are buttons, and pictures have descriptions."""

from collections.abc import Sequence

from components.data.display import data_uri, mosaic
from components.report.answers import Answer, Asked
from components.report.looking import overlay
from components.report.neighbours import Neighbour
from components.report.render import template

GLOW_SIDE = 192  # of a frame with attention laid over


def pictures(asked: Sequence[Asked], chosen: int) -> str:
    """A button a picture, with what the first captioner says of it; nothing if there is none."""
    first = [(each.name, next(iter(each.answers.values()))) for each in asked]
    shown = [(name, data_uri(mosaic(answer.frames)), answer.caption) for name, answer in first]
    return _fragment("pictures", shown, chosen)


def caption(captioner: str, answer: Answer) -> str:
    """A caption with the probabilities; words that may have looked at something of their own are buttons."""
    words = list(zip(answer.words, answer.word_probabilities, strict=True))
    return _fragment("caption", captioner, answer, words)


def looked(answer: Answer, word: int) -> str:
    """Where a word of the caption looked, a picture a frame."""
    frames = overlay(answer.frames, answer.looked[word], GLOW_SIDE)
    return _fragment("looked", answer.words[word].text, [data_uri(frame) for frame in frames])


def neighbours(found: Sequence[Neighbour]) -> str:
    """The nearest training pictures with their captions."""
    return _fragment("neighbours", [(each, data_uri(mosaic(each.frames))) for each in found])


def problem(text: str) -> str:
    """What a user has to know; read aloud by screen readers. Empty text: nothing."""
    return _fragment("problem", text)


def _fragment(macro: str, *values: object) -> str:
    return str(getattr(template("fragments.html.j2").module, macro)(*values))
