"""What `transformers.Trainer` reports, forwarded to the run; and, at each validation, a few pictures with
captions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from components.data.display import caption_sheet
from components.model.generation import GREEDY
from components.tracking.names import trainer_metrics

if TYPE_CHECKING:
    from PIL.Image import Image

    from components.tracking.runs import VariantRun


@dataclass(frozen=True)
class Samples:
    """Pictures to be captioned at each validation, with what people wrote about them.

    All three have one entry a picture; `clips` its frames (a picture is one frame), `references` one caption.
    """

    image_ids: Sequence[str]
    clips: Sequence[Sequence["Image"]]
    references: Sequence[str]


class MlflowCallback(TrainerCallback):
    """Give it to a `Trainer` whose `report_to` is "none".

    Every entry of the Trainer's log goes to the run under the names of `components.tracking.names`. If
    `samples` are given, each validation adds their captions by the model (`model.caption`, greedy) as an
    image grid, browsable by step, and as rows of the table val_captions.json. In a distributed training only
    the first process logs.
    """

    def __init__(self, run: "VariantRun", samples: Samples | None = None):
        self.run, self.samples = run, samples

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        """Metrics by step."""
        if state.is_world_process_zero:
            self.run.log_metrics(trainer_metrics(logs or {}), step=state.global_step)

    def on_evaluate(self, args, state, control, model=None, **kwargs) -> None:
        """Captions of the samples by step."""
        if self.samples is None or not state.is_world_process_zero:
            return
        captions = model.caption(list(self.samples.clips), **GREEDY)
        log_captions(self.run, self.samples, captions, state.global_step)


def log_captions(
    run: "VariantRun", samples: Samples, captions: Sequence[str], step: int, split: str = "val"
) -> None:
    """An image grid `SPLIT/captions` at `step`, and its rows in SPLIT_captions.json."""
    run.log_image(f"{split}/captions", caption_sheet(samples.clips, captions, samples.references), step)
    rows = zip(samples.image_ids, captions, samples.references, strict=True)
    run.log_table(
        f"{split}_captions.json",
        [{"step": step, "image_id": id_, "caption": text, "reference": truth} for id_, text, truth in rows],
    )
