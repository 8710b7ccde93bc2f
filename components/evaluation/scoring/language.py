"""What language captions are in, as far as it matters to scores: how they fall into words, and whether they
are English.

The COCO scores count words that the Penn Treebank tokenizer makes, which is for English. It reads the letters
of European alphabets, but sees one word in a Chinese, Japanese or Thai caption, which then scores 0; it drops
the vowel signs of Khmer, Burmese, Tibetan, Sinhala, Odia and others; and it keeps the sentence marks of
Arabic or Hindi as words. Captions in such scripts are split by ICU's word boundaries (Unicode Standard Annex
29; dictionaries for Chinese, Japanese, Thai, Lao, Khmer and Burmese), one well-kept segmenter for all of
them. Published scores of one language often rest on a segmenter of its own (of Chinese on jieba, as in AI
Challenger 2017, or on characters): scores compare only under the same tokenizer, so its name stands beside
them.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import regex
from icu4py.breakers import WordBreaker

from components.evaluation.scoring.java import tokenize

PTB = "PTB (English)"

_ENGLISH_ONLY = (
    "The captions are not English, so METEOR, CHAIR and object recall are left out: they know English "
    "synonyms and word forms only. CLIPScore means something only if the towers' CLIP has learned this "
    "language."
)

_UNSPLIT = "{:.1%} of the references are in another script, which this tokenizer does not split."

_LETTER = regex.compile(r"\p{L}")
_NOT_EUROPEAN = regex.compile(r"(?=\p{L})[^\p{Latin}\p{Greek}\p{Cyrillic}\p{Common}\p{Inherited}]")
_FEW = 0.1  # of letters: the text of a sign, a name; of captions: too few to give up the usual tokenizer
_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
_SAMPLE = 500  # captions that tell whether it is English
_UNLIKELY = 0.02  # only a language that is 50 times as likely rules out English: short captions tell little


def segment(text: str) -> list[str]:
    """Words by ICU, in one case, without punctuation: '赤い四角。' -> 赤い 四角."""
    parts = WordBreaker(unicodedata.normalize("NFC", text).casefold(), "root")
    return [part for part in parts if any(map(str.isalnum, part))]


def is_european(text: str) -> bool:
    """Has it no letter but Latin, Greek and Cyrillic ones?"""
    return text.isascii() or not _NOT_EUROPEAN.search(text)


@dataclass(frozen=True)
class Language:
    """Of a set of captions, not of each: all of them are split in one way, or scores could not be averaged.

    Attributes:
        script: "European" or, if more than a tenth of the captions are not, what most of their letters are
            called ("Thai"). A set that mixes both is split by ICU, which splits English at spaces, too.
        foreign: share of captions that are not European.
        sample: captions that tell whether it is English.
    """

    script: str
    foreign: float = 0.0
    sample: tuple[str, ...] = ()

    @classmethod
    def of(cls, captions: Iterable[str]) -> "Language":
        """The language of these captions."""
        captions = list(captions)
        letters = [_foreign_letters(caption) for caption in captions]
        foreign = sum(map(bool, letters)) / max(1, len(captions))
        if foreign <= _FEW:
            return cls("European", foreign, tuple(captions[:: max(1, len(captions) // _SAMPLE)]))
        names: Counter[str] = Counter()
        for letter, count in Counter("".join(letters)).items():
            name = unicodedata.name(letter, "unknown").split()[0]
            names[_NAMES.get(name, name.title())] += count
        japanese = names["Japanese"] > _FEW * names.total()  # half of whose letters are Chinese
        return cls("Japanese" if japanese else names.most_common(1)[0][0], foreign)

    @cached_property
    def english(self) -> bool:
        """Is no other language far likelier (langid; Lui and Baldwin, 2012)?"""
        if self.script != "European":
            return False
        likely = dict(_identifier().rank(" ".join(self.sample)))
        english = likely["en"] + likely["pcm"]  # Nigerian Pidgin: short English captions look like it
        return english >= _UNLIKELY * max(likely.values())

    @property
    def tokenizer(self) -> str:
        """What splits the captions into words, as it is written beside scores."""
        return PTB if self.script == "European" else f"ICU word segmentation ({self.script})"

    @property
    def remarks(self) -> str:
        """What is not scored, or not well, and why, in sentences; '' if everything is."""
        unsplit = self.script == "European" and self.foreign > 0
        said = (_UNSPLIT.format(self.foreign) if unsplit else "", "" if self.english else _ENGLISH_ONLY)
        return " ".join(filter(None, said))

    def tokenize(self, captions: Sequence[str]) -> list[str]:
        """The words of each caption, joined by single spaces; '' where there is none."""
        if self.script == "European":
            return tokenize(captions)
        return [" ".join(segment(caption)) for caption in captions]


def _foreign_letters(caption: str) -> str:
    """The letters that are not European, if they are more than a few of all."""
    letters = "" if is_european(caption) else "".join(_NOT_EUROPEAN.findall(caption))
    return letters if len(letters) > _FEW * len(_LETTER.findall(caption)) else ""


@cache
def _identifier() -> Any:
    """0.8 s and 100 MB, once: a training, which has no use for it, does not load it."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
