"""A small corpus of captions and three systems that answer for it."""

import random

THINGS = ["dog", "red car", "snowman", "café table", "sheep", "green apple", "tiger", "guitar"]
PLACES = ["on a blue ground", "to the left of a", "under the", "beside two"]
TRICKY = "Don't (ever) say \u201cnaïve\u201d: it's 3 1/2 o'clock -- well...\u2028next\rline"


def corpus(count: int = 40, seed: int = 0) -> tuple[dict[str, list[str]], dict[str, dict[str, str]]]:
    """References (five an image) and the captions of three systems, with the texts that break a careless
    tokenizer.
    """
    draw = random.Random(seed)
    sentence = lambda: f"A {draw.choice(THINGS)} {draw.choice(PLACES)} {draw.choice(THINGS)}."  # noqa: E731
    references = {f"image-{index}": [sentence() for _ in range(5)] for index in range(count)}
    references["image-3"][1] = TRICKY
    copies = {image_id: several[0].upper() for image_id, several in references.items()}
    guesses = {image_id: sentence() for image_id in references}
    guesses["image-1"], guesses["image-3"] = "", TRICKY.replace("well", "very well")
    return references, {"copy": copies, "guess": guesses, "constant": dict.fromkeys(references, "a dog")}
