"""What a validation during training says."""

from collections.abc import Callable

import numpy as np
from transformers.trainer_utils import EvalPrediction

from components.evaluation.scoring.scorers import References, cider
from components.model import CaptionProcessor
from components.training.dataset import CaptionDataset


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
