"""Captions of every script are scored by their words, and what knows English only is left to English."""

import numpy as np
import pytest

from components.evaluation.baselines import medoids
from components.evaluation.evaluate import evaluate
from components.evaluation.results import scored_how
from components.evaluation.scoring.degeneration import degeneration
from components.evaluation.scoring.java import tokenize
from components.evaluation.scoring.language import PTB, Language, segment
from components.evaluation.scoring.metrics import METRICS
from components.evaluation.scoring.monitors import monitors, positions, words
from components.evaluation.scoring.scorers import References, cider, coco_statistics
from tests.evaluation_fixtures import corpus

RECORDED = {  # before other languages were looked at
    "CIDEr": 0.8072005853476913,
    "BLEU-1": 0.8164280372854829,
    "BLEU-2": 0.6820314256124059,
    "BLEU-3": 0.5737051210334169,
    "BLEU-4": 0.5041323966573912,
    "METEOR": 0.2997563949532114,
    "ROUGE-L": 0.6113115857118896,
}

CHINESE = {
    "a": ["白纸上有一个红色的方块。", "有人画了红色方块"],
    "b": ["白纸上有一个绿色的圆圈。", "有人画了绿色圆圈"],
    "c": ["一个女孩在草地上跑步", "女孩跑步"],
}

SENTENCES = {  # a man rides a horse on the beach, or nearly
    "Chinese": ("一个男人在海滩上骑马。", 6),
    "Japanese": ("男性がビーチで馬に乗っている。", 6),
    "Thai": ("ผู้ชายกำลังขี่ม้าบนชายหาด", 6),
    "Lao": ("ຜູ້ຊາຍຂີ່ມ້າຢູ່ຫາດຊາຍ", 4),
    "Khmer": ("បុរសម្នាក់កំពុងជិះសេះនៅលើឆ្នេរ", 7),
    "Myanmar": ("လူတစ်ယောက်သည် ကမ်းခြေတွင် မြင်းစီးနေသည်", 6),
    "Hangul": ("한 남자가 해변에서 말을 타고 있다.", 6),
    "Devanagari": ("एक आदमी समुद्र तट पर है।", 6),
    "Arabic": ("رجل يركب حصانا، على الشاطئ", 5),
    "Sinhala": ("මිනිසෙක් අශ්වයෙකු", 2),
}


def test_english_scores_stay_as_they_were():
    references, systems = corpus()
    truth = References(references)
    assert (truth.language.tokenizer, truth.language.english, truth.language.remarks) == (PTB, True, "")
    statistics = coco_statistics({"guess": systems["guess"]}, truth)["guess"]
    for name, score in RECORDED.items():
        assert METRICS[name].corpus(statistics[METRICS[name].family]) == pytest.approx(score, abs=1e-14)


@pytest.mark.parametrize("script", SENTENCES)
def test_scripts_fall_into_whole_words(script):
    sentence, least = SENTENCES[script]
    language = Language.of([sentence])
    assert language.tokenizer == f"ICU word segmentation ({script})" and not language.english
    (found,) = language.tokenize([sentence])
    assert len(found.split()) >= least
    letters = [c for c in sentence if c not in " 。．.।،"]
    assert list(found.replace(" ", "")) == letters, "no letter or vowel sign is lost, no mark is a word"


def test_why_ptb_is_not_used_for_them():
    """It leaves Chinese and Thai whole, drops what Khmer and Sinhala are written with, keeps the danda."""
    chinese, thai, khmer, sinhala, hindi = tokenize(
        [SENTENCES[name][0] for name in ("Chinese", "Thai", "Khmer", "Sinhala", "Devanagari")]
    )
    assert chinese == "一个男人在海滩上骑马 。" and " " not in thai
    assert "្" not in khmer and "්" not in sinhala
    assert hindi.endswith(" ।")


@pytest.mark.parametrize(
    ("captions", "english"),
    [
        (["a cat"], True),
        (["a red square on white paper", "two snowmen"], True),
        (["A sign that says 停 beside a car"], True),
        (["ein Hund im Schnee", "zwei Autos vor einem Haus"], False),
        (["un chien court sur la plage", "une femme en robe rouge"], False),
        (["Мужчина едет на лошади"], False),
    ],
)
def test_european_scripts_stay_with_ptb_and_only_english_has_meteor(captions, english):
    truth = References({"a": captions, "b": captions})
    assert (truth.language.tokenizer, truth.language.english) == (PTB, english)
    statistics = coco_statistics({"model": {"a": captions[0], "b": captions[0]}}, truth)["model"]
    assert ("meteor" in statistics) == english
    assert ("METEOR" in truth.language.remarks) != english


def test_a_mixed_set_is_split_in_one_way_and_a_few_that_are_not_are_counted():
    english = ["a red square on white paper"] * 8
    mixed = Language.of([*english, "白纸上有一个红色的方块。"] * 2 + ["有人画了红色方块"])
    assert mixed.tokenizer == "ICU word segmentation (Chinese)"
    assert mixed.tokenize(["A dog's 红色方块"])[0].startswith("a dog's 红色")
    few = Language.of([*english * 3, "白纸上有一个红色的方块。"])
    assert few.tokenizer == PTB and "4.0% of the references are in another script" in few.remarks


def test_chinese_captions_are_told_apart_by_their_scores():
    truth = References(CHINESE)
    right = {image_id: several[0] for image_id, several in CHINESE.items()}
    near = right | {"a": "白纸上有一个红色的圆圈"}
    wrong = dict(zip(right, reversed(right.values()), strict=True))
    assert cider(right, truth) > cider(near, truth) > cider(wrong, truth) > 0
    evaluation = evaluate({"model": near}, truth, samples=50)
    scores, content = evaluation.intervals["model"], evaluation.metrics()
    assert scores["BLEU-4"].mean > 0.5 and "METEOR" not in scores
    assert content["scoring"]["tokenizer"] == "ICU word segmentation (Chinese)"
    assert scored_how(content).startswith(
        "Words by ICU word segmentation (Chinese). The captions are not Eng"
    )
    assert "METEOR" not in evaluation.per_image()


def test_old_evaluations_were_scored_by_ptb():
    assert scored_how({"systems": {}}) == f"Words by {PTB}."


def test_a_score_of_zero_is_still_said_aloud():
    captions = dict.fromkeys(CHINESE, "猫")
    ended = dict.fromkeys(CHINESE, True)
    score = cider(captions, References(CHINESE))
    assert score == 0 and "CIDEr is 0" in degeneration(captions, CHINESE, ended, score, "test")


def test_signs_of_degeneration_see_words_of_every_script():
    assert words("Привет, «мир»! ¿Qué?") == ["привет", "мир", "qué"]
    assert words("两只dog。") == segment("两只dog。") and "dog" in words("两只dog。")
    places, said = positions("two 红色方块 cats")
    assert said[0] == "two" and said[-1] == "cats" and set(places) == {0, 1, 2} and places.count(1) > 1
    looped = dict.fromkeys(CHINESE, "红色红色红色的方块")
    assert monitors(looped, CHINESE)["repeats"] == 1
    same = {image_id: several[0].rstrip("。") for image_id, several in CHINESE.items()}
    assert monitors(same, CHINESE)["verbatim_reference"] == 1
    training = CHINESE | {"a": ["猫", *CHINESE["a"], CHINESE["a"][0]]}
    assert medoids(training)["a"] == CHINESE["a"][0]


def test_letters_beyond_the_basic_plane_keep_their_place():
    assert "".join(segment("𠮷野家で白い犬 😀 が")) == "𠮷野家で白い犬が"
    assert np.isfinite(cider({"a": "𠮷野家"}, References({"a": ["𠮷野家で"]})))
