"""One drawing, and how English speaks of it. Nothing is drawn here, and nothing beyond Python is needed."""

from dataclasses import dataclass

PLURALS = {
    "cactus": "cacti",
    "fish": "fish",
    "maple leaf": "maple leaves",
    "mouse": "mice",
    "snowman": "snowmen",
}
"""Irregular plurals."""

VOWEL_EXCEPTIONS = ("unicorn",)
"""Written with a vowel, spoken with a consonant."""


@dataclass(frozen=True)
class Drawing:
    """One emoji with its English name."""

    emoji: str
    category: str
    noun: str
    plural_noun: str
    colour: str | None
    colour_in_name: bool  # 'green apple': without the colour one would not know which apple

    @property
    def name(self) -> str:
        """What tells this drawing from all others: 'green apple', 'fox'."""
        return f"{self.colour} {self.noun}" if self.colour_in_name else self.noun

    def phrase(self, number: int, coloured: bool = False) -> str:
        """'a fox', 'an orange fox', 'three foxes'; the colour if asked for, or if the name has it."""
        noun = self.noun if number == 1 else self.plural_noun
        if self.colour and (coloured or self.colour_in_name):
            noun = f"{self.colour} {noun}"
        return with_article(noun) if number == 1 else f"{NUMBERS[number]} {noun}"


NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def with_article(noun: str) -> str:
    """'a fox', 'an orange fox', 'a unicorn'."""
    vowel = noun[0] in "aeiou" and not noun.startswith(VOWEL_EXCEPTIONS)
    return f"{'an' if vowel else 'a'} {noun}"


def pluralize(noun: str) -> str:
    """The plural of a noun or of a compound that ends in one."""
    if noun in PLURALS:
        return PLURALS[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"
