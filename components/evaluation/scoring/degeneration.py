"""Has a captioner failed? One decision for training, evaluation, report, MLflow and the choice of a champion.

A failed training ends as green as any other; its captions give it away: they are empty, the same whatever
the picture shows, or never come to an end.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from components.evaluation.scoring.monitors import words

LIMIT = 0.1
"""The share of captions that may be degenerate."""

FEWEST = 5
"""Pictures that one caption must be given to before it counts as repeated: fewer can be alike by chance."""

ADVICE = (
    "Try more steps (train.epochs, or null), to start from a trained captioner (train.init), more pictures, "
    "and look at the captions in reports/data/index.html: are they about what the pictures show?"
)


def degeneration(
    captions: Mapping[str, str],
    references: Mapping[str, Sequence[str]],
    ended: Mapping[str, bool],
    cider: float,
    split: str,
) -> str | None:
    """What is wrong with these captions, as a sentence; None if they are those of a captioner that works.

    Args:
        captions: image_id -> caption.
        references: image_id -> captions.
        ended: image_id -> did the caption end by itself, before `max_new_tokens`?
        cider: of these captions.
        split: that they are of, for the sentence.
    """
    kinds = {
        "are empty": {image_id for image_id, caption in captions.items() if not words(caption)},
        "are said of many pictures, which they do not fit": _repeated(captions, references),
        "have no end": {image_id for image_id in captions if not ended[image_id]},
    }
    count = len(captions)
    if len(set.union(*kinds.values())) > LIMIT * count:
        told = [f"{len(found)} of {count} captions {what}" for what, found in kinds.items() if found]
        return f"Degenerate {split} captions: {', '.join(told)}."
    if cider == 0 and count > 1:  # of a single picture it always is
        return f"Degenerate {split} captions: CIDEr is 0, they share nothing with what people wrote."
    return None


def print_failure(variant: str, degenerate: str | None) -> None:
    """What nobody can miss in a terminal: this captioner has failed, in this way, and what to try. Nothing if
    it has not.
    """
    if degenerate:
        text = Text.assemble((degenerate, "bold"), "\n", ADVICE)
        title = f"{variant}: THE TRAINING FAILED"
        Console().print(Panel(text, title=title, border_style="bold red", box=box.DOUBLE))


def _repeated(captions: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> set[str]:
    """Images whose caption more than `LIMIT` of all images have, and that it does not fit.

    It fits if it is a reference, or if its words, those aside that most pictures' references have, all stand
    in the references: "a dog" may be said of many dogs, but neither of cats, nor "a" of everything.
    """
    spoken = {image_id: tuple(words(caption)) for image_id, caption in captions.items()}
    times = Counter(spoken.values())
    often = {t for t, count in times.items() if t and count >= FEWEST and count > LIMIT * len(captions)}
    truth = {image_id: [tuple(words(reference)) for reference in references[image_id]] for image_id in spoken}
    known = {image_id: {word for text in texts for word in text} for image_id, texts in truth.items()}
    spread = Counter(word for of_image in known.values() for word in of_image)
    common = {word for word, count in spread.items() if count > len(captions) / 2}

    def fits(image_id: str, text: tuple[str, ...]) -> bool:
        telling = set(text) - common
        return text in truth[image_id] or bool(telling and telling <= known[image_id])

    return {image_id for image_id, text in spoken.items() if text in often and not fits(image_id, text)}
