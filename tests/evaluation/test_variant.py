"""What the stage `evaluate` asks of a captioner: test split, baselines, minimal pairs."""

import numpy as np
import pytest

from components.evaluation import variant
from components.evaluation.scoring.decode import Decoded
from components.features.encoder import ClipEncoder
from components.features.live import LiveFeatures
from components.model import CaptionModel, CaptionProcessor
from tests.model_fixtures import BRIDGE, tiny_tokenizer, write_towers
from tests.parameters import prepare, tiny


def read_aloud(model, processor, image_ids, inputs, **options) -> Decoded:
    """Instead of decoding: the first reference of whatever data set the features are of."""
    references = inputs.__self__.tables.references()
    return Decoded({i: references[i][0] for i in image_ids}, dict.fromkeys(image_ids, True))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    """Of random towers, with captions that are all true."""
    folder = tmp_path_factory.mktemp("variant")
    params = tiny(evaluate={"bootstrap_samples": 100}, model={"feature_layer": -1})
    tables = prepare(folder / "prepared", num_images=300)
    clip, gpt2 = write_towers(folder / "towers")
    tiny_tokenizer().save_pretrained(clip)
    model = CaptionModel.from_towers(clip, gpt2, **BRIDGE)
    model.processor = CaptionProcessor.from_towers(clip, gpt2)
    model.save_pretrained(folder / "model")
    features = LiveFeatures(tables, ClipEncoder(clip))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variant, "decode", read_aloud)
        patch.setattr(variant, "likelihood", lambda *args: np.ones((15, 2)))
        patch.setattr(
            variant, "clip_scores", lambda *args: np.ones((15, 1))
        )  # both read more than these towers can
        return variant.evaluate_variant(params, tables, features, folder / "towers", folder / "model")


def test_a_captioner_that_tells_the_truth_is_right_in_everything(evaluation):
    scores = evaluation.intervals["model"]
    for name in ("entirely_right", "drawings_right", "object_recall", "minimal_pairs", "minimal_pairs_side"):
        assert scores[name].mean == 1, name
    assert scores["CHAIRi"].mean == scores["CHAIRs"].mean == 0


def test_baselines_cannot_be_right_about_what_is_held_out(evaluation):
    assert evaluation.intervals["nearest_neighbour"]["entirely_right"].mean == 0
    assert evaluation.intervals["most_frequent"]["entirely_right"].mean == 0
    assert evaluation.intervals["blind"]["CHAIRs"].mean > 0.5
    rows = evaluation.per_image()
    assert rows[rows["system"] == "model"]["wrong_words"].map(len).sum() == 0
    assert rows[rows["system"] == "blind"]["wrong_words"].isna().all(), "only the model's are shown anywhere"
