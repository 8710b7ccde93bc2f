"""How a captioner writes: chosen on validation captions, once its bridge is trained.

    generation_config.json  the choice, which `generate`, `caption`, evaluation and the service take by
                            themselves: transformers' own file, loaded with the model
    decoding.json           the settings that were tried, with their scores

Beams, length penalty and repetition are chosen by CIDEr; what is best depends on the data (short names,
sentences) and on the bridge. Never chosen are captions that begin with their end: see `prepare`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from components.config import DecodingParams
from components.errors import UserError
from components.evaluation.scoring.decode import Inputs, decode
from components.evaluation.scoring.degeneration import degeneration
from components.evaluation.scoring.scorers import References, cider
from components.features.text import ending
from components.model import CaptionModel

FILE = "decoding.json"

NUM_BEAMS = (1, 3)
LENGTH_PENALTIES = (0.0, 1.0)  # a beam is worth its log-likelihood, or the mean of it a token
FURTHER = ({"num_beams": 5}, {"no_repeat_ngram_size": 3})
"""Tried afterwards, of the best setting alone. Not `repetition_penalty`: GPT-2 has one token for both ends of
a text, so that the beginning would count as a reason not to end."""

MARGIN = 1.25
"""Room for captions longer than any training caption."""

Setting = Mapping[str, float]
"""Keyword arguments of `generate`."""

CHOSEN = tuple(name for name in DecodingParams.model_fields if name != "max_new_tokens")
"""Their names, in the order of tables; `prepare` gives the length, which all settings share."""


@dataclass(frozen=True)
class Trial:
    """A setting, CIDEr of the validation captions that it wrote, and what is wrong with them, if anything."""

    setting: dict[str, float]
    cider: float
    degenerate: str | None


@dataclass(frozen=True)
class Choice:
    """The trials, cheapest first, and which of them it is to be."""

    trials: list[Trial]
    best: Trial

    @classmethod
    def among(cls, trials: Sequence[Trial]) -> "Choice":
        """The best, and of equals the cheapest; some hundred captions tell no thousandths of CIDEr apart."""
        return cls(list(trials), max(trials, key=lambda t: (t.degenerate is None, round(t.cider, 2))))

    def rows(self) -> list[dict[str, Any]]:
        """A row a trial, for tables: its setting (None where it leaves a field alone), score, verdict."""
        return [
            {name: trial.setting.get(name) for name in CHOSEN}
            | {"CIDEr": trial.cider, "chosen": trial == self.best, "degenerate": trial.degenerate or ""}
            for trial in self.trials
        ]

    def table(self, title: str) -> Table:
        """For the terminal."""
        table = Table(title=title, box=box.SIMPLE_HEAD)
        for heading in ("beams", "length penalty", "no repeated n-gram", "CIDEr", ""):
            table.add_column(heading, justify="right")
        for row in self.rows():
            *setting, cider, chosen, degenerate = row.values()
            shown = ["" if value is None else f"{value:g}" for value in setting]
            verdict = "chosen" if chosen else "degenerate" if degenerate else ""
            table.add_row(*shown, f"{cider:.3f}", verdict, style="bold" if chosen else "")
        return table


def prepare(model: CaptionModel, fixed: Setting, longest: int, num_frames: int) -> None:
    """Give `model` what all settings share: how long a caption may be, that it has a word, and how many
    frames of a clip it is shown.

    A caption is never empty, because it cannot begin with what ends one: the space before EOS, or EOS.

    Args:
        fixed: the settings of `train.decoding` that are not null.
        longest: tokens of the longest training caption, both ends included.
        num_frames: of the longest clip; 1 for pictures.

    Raises:
        UserError: `max_new_tokens` is more than the language model has positions for.
    """
    positions = model.config.text_config.n_positions
    room = positions - model.config.prefix_length * num_frames - 1  # BOS
    asked = fixed.get("max_new_tokens")
    if asked is not None and asked > room:
        raise UserError(
            f"train.decoding.max_new_tokens is {asked}; the language model has {positions} positions, which "
            f"leave room for {room} tokens beside the picture. Lower it, or set it to null."
        )
    model.config.num_frames = num_frames
    tokenizer = model.processor.tokenizer
    model.generation_config.update(
        max_new_tokens=asked or min(room, ceil(MARGIN * (longest - 1))),
        begin_suppress_tokens=tokenizer(ending(tokenizer), add_special_tokens=False)["input_ids"],
    )


def choose_decoding(
    model: CaptionModel,
    references: Mapping[str, Sequence[str]],
    inputs: Inputs,
    fixed: Setting,
    batch_size: int = 64,
) -> Choice:
    """Caption validation pictures with each setting of a small grid, and give `model` the best one.

    Greedy search comes first; the others only win by a better score. More beams are tried only where a few
    have helped: they take most of the time.

    Args:
        model: trained, with its processor, `prepare`d.
        references: image_id -> captions, of the validation pictures.
        inputs: see `components.evaluation.scoring.decode`.
        fixed: the settings of `train.decoding` that are not null: nothing else is tried for them.
    """
    truth = References(references)

    def trial(setting: Setting) -> Trial:
        words = ", ".join(f"{name} {value:g}" for name, value in setting.items())
        decoded = decode(
            model, model.processor, list(references), inputs, batch_size, progress=words, **setting
        )
        score = cider(decoded.captions, truth)
        wrong = degeneration(decoded.captions, references, decoded.ended, score, "validation")
        return Trial(dict(setting), score, wrong)

    choice = Choice.among([trial(setting) for setting in grid(fixed)])
    for change in FURTHER:
        more_of_none = "num_beams" in change and choice.best.setting["num_beams"] == 1
        if not (change.keys() & fixed.keys() or more_of_none):
            choice = Choice.among([*choice.trials, trial(choice.best.setting | change)])
    model.generation_config.update(**choice.best.setting)
    return choice


def grid(fixed: Setting) -> list[Setting]:
    """The settings to try, cheapest first: beams, and length penalties where there are several beams."""
    beams = [fixed["num_beams"]] if "num_beams" in fixed else NUM_BEAMS
    penalties = [fixed["length_penalty"]] if "length_penalty" in fixed else LENGTH_PENALTIES
    several = [{"num_beams": n, "length_penalty": p} for n in beams if n > 1 for p in penalties]
    shared = {name: value for name, value in fixed.items() if name == "no_repeat_ngram_size"}
    return [setting | shared for setting in ([{"num_beams": 1}] if 1 in beams else []) + several]


def write_choice(choice: Choice, folder: Path) -> None:
    """Write `decoding.json` into `folder`."""
    (folder / FILE).write_text(json.dumps(asdict(choice), indent=1) + "\n", encoding="utf-8")


def read_choice(folder: str | Path) -> Choice:
    """Read it back.

    Raises:
        UserError: no such file, or no JSON.
    """
    path = Path(folder) / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no choice of a decoding ({error}). Run: dvc repro train") from None
    return Choice([Trial(**trial) for trial in content["trials"]], Trial(**content["best"]))
