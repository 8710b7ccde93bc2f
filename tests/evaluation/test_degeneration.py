"""Failed captioners are told apart from those that are merely poor, or work on simple pictures."""

import json

import pytest

from components.evaluation import table
from components.evaluation.scoring.degeneration import LIMIT, degeneration
from components.evaluation.scoring.language import Language

NAMES = [
    f"{colour} {thing}" for colour in ("red", "blue", "green", "black") for thing in ("dog", "cat", "owl")
]
REFERENCES = {f"image-{i}": [f"A {NAMES[i % 12]}.", f"there is a {NAMES[i % 12]}"] for i in range(60)}
GOOD = {image_id: references[0] for image_id, references in REFERENCES.items()}
ENDED = dict.fromkeys(REFERENCES, True)
FEW = list(REFERENCES)[:6]  # a tenth
MORE = list(REFERENCES)[:7]


def told(captions=GOOD, ended=ENDED, cider=1.0, references=REFERENCES) -> str | None:
    return degeneration(captions, references, ended, cider, "test")


def test_a_captioner_that_works_is_left_alone():
    assert told() is None


@pytest.mark.parametrize("blank", ["", "  ", "."])
def test_empty_captions_of_more_than_a_tenth(blank):
    assert LIMIT == 0.1
    assert told(GOOD | dict.fromkeys(FEW, blank)) is None
    assert told(GOOD | dict.fromkeys(MORE, blank)) == "Degenerate test captions: 7 of 60 captions are empty."


def test_captions_without_an_end():
    assert told(ended=ENDED | dict.fromkeys(FEW, False)) is None
    assert told(ended=ENDED | dict.fromkeys(MORE, False)).endswith("7 of 60 captions have no end.")


@pytest.mark.parametrize("caption", ["A A letter.", "a red dog", "a", "a dog"])
def test_one_caption_for_all(caption):
    assert "said of many pictures" in told(dict.fromkeys(REFERENCES, caption))


def test_a_few_captions_in_turn():
    turns = ("a red dog", "a blue cat", "a green owl")
    assert "said of many" in told({image_id: turns[i % 3] for i, image_id in enumerate(REFERENCES)})


def test_kinds_add_up():
    wrong = told(GOOD | dict.fromkeys(MORE[:4], ""), ENDED | dict.fromkeys(MORE[3:], False))
    assert wrong == "Degenerate test captions: 4 of 60 captions are empty, 4 of 60 captions have no end."


def test_many_pictures_of_one_thing_may_be_captioned_alike():
    """A third of the pictures are dogs: "a dog" fits each of them, though it is nobody's words."""
    dogs = {i: "a dog" for i, references in REFERENCES.items() if "dog" in references[0]}
    assert len(dogs) == 20
    assert told(GOOD | dogs) is None
    cats = dict.fromkeys(dogs, "a cat")
    assert "20 of 60 captions are said of many pictures" in told(GOOD | cats)


def test_pictures_that_are_all_the_same_may_have_one_caption():
    references = dict.fromkeys(REFERENCES, ["a red dog"])
    assert told(dict.fromkeys(REFERENCES, "A red dog."), references=references) is None


def test_a_handful_of_pictures_is_no_proof():
    few = {image_id: REFERENCES[image_id] for image_id in list(REFERENCES)[:12]}
    captions = {image_id: GOOD[image_id] for image_id in few} | dict.fromkeys(list(few)[:2], "an owl")
    assert told(captions, references=few) is None


def test_cider_zero_is_told():
    assert told(cider=0.0) == (
        "Degenerate test captions: CIDEr is 0, they share nothing with what people wrote."
    )

    one = {"image-0": REFERENCES["image-0"]}
    assert told({"image-0": "a red dog"}, cider=0.0, references=one) is None


def test_nobody_can_miss_it_in_the_terminal(capsys, tmp_path):
    for name, more in (("mlp", {"degenerate": "All empty."}), ("transformer", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({"systems": {"model": {}}} | more))
    table.main(str(tmp_path))
    shown = capsys.readouterr().out
    assert "mlp: THE TRAINING FAILED" in shown and "All empty." in shown and "train.init" in shown
    assert "transformer: THE TRAINING FAILED" not in shown


def test_the_verdict_stands_in_the_metrics_and_disturbs_no_number():
    from components.evaluation.evaluate import Evaluation
    from components.tracking.names import evaluation_metrics

    sound = Evaluation([], {}, {}, {}, {"empty": 0.5}, Language.of([]))
    failed = Evaluation([], {}, {}, {}, {"empty": 0.5}, Language.of([]), degenerate="All empty.")
    assert "degenerate" not in sound.metrics() and failed.metrics()["degenerate"] == "All empty."
    assert evaluation_metrics(failed.metrics()) == evaluation_metrics(sound.metrics())


def test_a_training_tells_its_run():
    """The table of settings, the choice as parameters, and the tag by which a failure is found."""
    from unittest.mock import Mock

    from components.training.decoding import Choice, Trial
    from flows.train import log_choice

    good = Trial({"num_beams": 1}, 1.5, None)
    for trial, tags in ((good, 0), (Trial({"num_beams": 1}, 0.0, "All empty."), 1)):
        run, choice = Mock(), Choice([trial], trial)
        log_choice(run, choice)
        run.log_table.assert_called_once_with("decoding.json", choice.rows())
        run.log_params.assert_called_once_with({"decoding.num_beams": 1})
        assert run.set_tags.call_count == tags
    run.set_tags.assert_called_once_with({"degenerate": "All empty."})
