"""What `transformers.Trainer` reports, forwarded to the run; at each validation, a few captioned pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers import TrainerCallback

from components.data.display import caption_sheet
from components.model.generation import GREEDY
from components.tracking.names import trainer_metrics

if TYPE_CHECKING:
    from PIL.Image import Image

    from components.tracking.logger import VariantRun


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
        shown, step = self.samples, state.global_step
        captions = model.caption(list(shown.clips), **GREEDY)
        self.run.log_image("val/captions", caption_sheet(shown.clips, captions, shown.references), step)
        rows = zip(shown.image_ids, captions, shown.references, strict=True)
        self.run.log_table(
            "val_captions.json",
            [{"step": step, "image_id": id_, "caption": said, "reference": true} for id_, said, true in rows],
        )
