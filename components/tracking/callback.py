"""What `transformers.Trainer` reports, forwarded to the run; at each validation, a few captioned pictures."""

from typing import TYPE_CHECKING

from transformers import TrainerCallback

from components.data.display import caption_sheet
from components.data.tables import Tables
from components.model.generation import GREEDY
from components.tracking.names import trainer_metrics

if TYPE_CHECKING:
    from components.tracking.logger import VariantRun


class MlflowCallback(TrainerCallback):
    """Give it to a `Trainer` whose `report_to` is "none".

    Every entry of the Trainer's log goes to the run under the names of `components.tracking.names`. If
    `samples` are given, each validation adds their captions by the model (`model.caption`, greedy) as an
    image grid, browsable by step, and as rows of the table val_captions.json. In a distributed training only
    the first process logs.
    """

    def __init__(self, run: "VariantRun", samples: Tables | None = None):
        self.run, self.samples = run, []
        if samples:
            references = samples.references()
            self.samples = [(id_, samples.open_frames(id_), said[0]) for id_, said in references.items()]

    def on_log(self, args, state, control, logs=None, **kwargs) -> None:
        if state.is_world_process_zero:
            self.run.log_metrics(trainer_metrics(logs or {}), step=state.global_step)

    def on_evaluate(self, args, state, control, model=None, **kwargs) -> None:
        if not self.samples or not state.is_world_process_zero:
            return
        step = state.global_step
        image_ids, clips, references = zip(*self.samples, strict=True)
        captions = model.caption(list(clips), **GREEDY)
        self.run.log_image("eval/captions", caption_sheet(clips, captions, references), step)
        lines = zip(image_ids, captions, references, strict=True)
        rows = [
            {"step": step, "image_id": of, "caption": said, "reference": true} for of, said, true in lines
        ]
        self.run.log_table("val_captions.json", rows)
