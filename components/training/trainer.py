"""`transformers.Trainer`, told three things: which parameters learn how fast, which reference comes next, and
that a captioner is judged by the captions it writes.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import PrinterCallback, Trainer
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalPrediction, rotate_checkpoints

from components.config import TrainParams
from components.evaluation.scoring.scorers import References, cider
from components.features.text import IGNORED
from components.model import CaptionProcessor
from components.model.bridge import gates
from components.model.generation import GREEDY
from components.training.dataset import CaptionDataset
from components.training.optimizer import make_optimizer
from components.training.sampler import ReferenceSampler


class CaptionTrainer(Trainer):
    """Trains the bridge of a `CaptionModel`.

    Args:
        settings: `optim`, see `components.training.optimizer`, and `gate_learning_rate`, of the tanh gates.
            They start at 0 and pass no gradient to what they gate until they move (Alayrac et al. 2022,
            section 3.1.2), so they may need to move faster than the rest.
    """

    def __init__(self, *args, settings: TrainParams, **kwargs):
        super().__init__(*args, **kwargs)
        self.remove_callback(PrinterCallback)
        self.settings = settings
        self._tokens, self._since = torch.tensor(0, device=self.args.device), time.perf_counter()

    def _get_train_sampler(self, train_dataset=None) -> ReferenceSampler:
        data, pieces = self.train_dataset, self.args.world_size * self.args.gradient_accumulation_steps
        batch_size = self.args.train_batch_size * pieces
        return ReferenceSampler(data.tokens.lengths, data.counts, batch_size, self.args.data_seed, data.views)

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        """See `make_optimizer`."""
        if self.optimizer is None:
            self.optimizer = make_optimizer(
                model or self.model,
                self.settings.optim,
                learning_rate=self.args.learning_rate,
                gate_learning_rate=self.settings.gate_learning_rate,
                weight_decay=self.args.weight_decay,
                betas=(self.args.adam_beta1, self.args.adam_beta2),
            )
        return self.optimizer

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Cross-entropy a caption token."""
        inputs = {name: value for name, value in inputs.items() if name != "rows"}
        self._tokens += inputs["attention_mask"].sum()  # stays on the device: a GPU is not waited for
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def floating_point_ops(self, inputs) -> int:
        """Not counted: the Trainer would walk over all modules for it, in every step."""
        return 0

    @torch.no_grad()
    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """(None, generated tokens [b x s], (image rows, losses, numbers of tokens) [b] each).

        What `compute_metrics` decodes, scores and sums up. Row by row, because the last batch is filled up
        with pictures seen before so that all processes have as many: those rows are dropped on the way.
        """
        inputs = self._prepare_inputs(inputs)
        rows, labels = inputs.pop("rows"), inputs.pop("labels")
        with self.compute_loss_context_manager():
            logits = model(**inputs).logits[:, -labels.shape[1] - 1 : -1].float()
            losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").sum(dim=1)
            del inputs["input_ids"], inputs["attention_mask"]
            tokens = self.model.generate(**inputs, **GREEDY)
        return None, tokens, (rows, losses, labels.ne(IGNORED).sum(dim=1))

    def _save_checkpoint(self, model, trial) -> None:
        """As `Trainer` does, but aside, and renamed when complete: a kill leaves no half checkpoint."""
        folder, name = Path(self.args.output_dir), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        aside = folder / "unfinished"
        self.args.output_dir = str(aside)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.output_dir = str(folder)
        self.accelerator.wait_for_everyone()
        if self.state.best_global_step == self.state.global_step:
            self.state.best_model_checkpoint = str(folder / name)
        if self.args.should_save:
            self.state.save_to_json(str(aside / name / TRAINER_STATE_NAME))  # `best_model_checkpoint` is new
            (aside / name).replace(folder / name)
            best = self.state.best_model_checkpoint
            rotate_checkpoints(str(folder), self.args.save_total_limit, best)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add throughput and the openness of every gate, tanh(alpha), to the training records."""
        if "loss" in logs:
            now = time.perf_counter()
            logs["tokens_per_second"] = int(self.accelerator.reduce(self._tokens)) / (now - self._since)
            self._tokens, self._since = torch.zeros_like(self._tokens), now
            logs |= {f"gate/{name}": value for name, value in gates(self.model).items()}
        super().log(logs, start_time)


def validation_metrics(processor: CaptionProcessor, val: CaptionDataset) -> Callable[[EvalPrediction], dict]:
    """Loss a token, and CIDEr of the validation captions that `CaptionTrainer` decoded, against all
    references of each image.
    """
    truth = References(dict(zip(val.image_ids, val.references, strict=True)))

    def score(prediction: EvalPrediction) -> dict[str, float]:
        tokens = np.where(
            prediction.predictions < 0, processor.tokenizer.pad_token_id, prediction.predictions
        )
        rows, losses, counts = prediction.label_ids
        image_ids = [val.image_ids[row] for row in rows]
        captions = dict(zip(image_ids, processor.batch_decode(tokens), strict=True))
        return {"loss": losses.sum() / counts.sum(), "CIDEr": cider(captions, truth)}

    return score
