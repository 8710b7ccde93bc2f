"""The baselines are as strong as they claim, and the monitors see what they are for."""

import numpy as np
import pytest

from components.errors import UserError
from components.evaluation.baselines import medoids, most_frequent, nearest_neighbour, other_image
from components.evaluation.scoring.monitors import distinct, monitors, words


def test_nearest_neighbour_copies_the_closest_training_image_by_angle():
    training = np.array([[10.0, 0.0], [0.0, 0.1]])
    references = {"east": ["a dog"], "north": ["a cat"]}
    answers = nearest_neighbour(
        ["x", "y"], np.array([[0.1, 1.0], [2.0, 1.9]]), list(references), training, references
    )
    assert answers == {"x": "a cat", "y": "a dog"}


def test_medoid_is_the_caption_that_agrees_with_the_others():
    references = {
        "a": [
            "Nonsense entirely.",
            "A dog beside a red car.",
            "A dog next to a red car.",
            "There is a dog and a car.",
        ],
        "b": ["A green apple.", "Two sheep.", "A green apple!", "One apple, green."],
        "c": ["A single caption."],
    }
    chosen = medoids(references)
    assert chosen["a"] in references["a"][1:3]
    assert chosen["b"] == "A green apple."  # the first of two that are equal
    assert chosen["c"] == "A single caption."


@pytest.mark.parametrize("count", [2, 3, 101])
def test_blind_shows_every_image_once_in_another_place(count):
    image_ids = [f"image-{i}" for i in range(count)]
    for seed in range(20):
        shown = other_image(image_ids, seed)
        assert sorted(shown) == sorted(shown.values()) == sorted(image_ids)
        assert all(image_id != other for image_id, other in shown.items())
    assert other_image(image_ids, seed=3) == other_image(image_ids, seed=3)


def test_most_frequent_counts_texts():
    assert most_frequent(["a dog", "a  cat", "a dog ", "a cat\n", "a cat"]) == "a cat"


def test_empty_splits_are_one_message():
    with pytest.raises(UserError, match="at least two"):
        other_image(["x"])
    with pytest.raises(UserError, match="training split is empty"):
        most_frequent([])
    with pytest.raises(UserError, match="training split is empty"):
        nearest_neighbour(["x"], np.ones((1, 2)), [], np.ones((0, 2)), {})


def test_words_and_distinct():
    assert words("Two dogs, “a cat” -- (don't)!") == ["two", "dogs", "a", "cat", "don't"]
    assert distinct(["a dog", "a dog", "a cat"], 1) == 3 / 6
    assert distinct(["a dog", "a dog", "a cat"], 2) == 2 / 3
    assert distinct([""], 2) == 0


def test_monitors():
    captions = {"1": "A dog.", "2": "a dog", "3": "on the on the table", "4": "", "5": "two two cats"}
    references = {"1": ["a dog"], "2": ["a cat"], "3": ["x"], "4": ["y"], "5": ["two cats"]}
    ended = {"1": True, "2": True, "3": False, "4": True, "5": True}
    seen = monitors(captions, references, ["A DOG", "two cats"], ended)
    assert seen["unique"] == 4 / 5
    assert seen["repeats"] == 2 / 5
    assert seen["empty"] == seen["without_end"] == seen["verbatim_reference"] == 1 / 5
    assert seen["verbatim_training"] == 2 / 5
    assert seen["mean_words"] == (2 + 2 + 5 + 0 + 3) / 5
    assert "without_end" not in monitors(captions, references)
