"""The order of training examples: random, grouped by length, and a function of seed and epoch alone."""

import random
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

from components.training.sampler import ReferenceSampler

LENGTHS = [[random.Random(i).randint(4, 20) for _ in range(5)] for i in range(1000)]


def sampler_of(lengths: list[list[int]], seed: int = 0, views: int = 1) -> ReferenceSampler:
    flat, counts = np.array(list(chain(*lengths))), np.array([len(references) for references in lengths])
    return ReferenceSampler(flat, counts, batch_size=32, seed=seed, views=views)


def epoch(number: int, seed: int = 0) -> list[tuple[int, int]]:
    sampler = sampler_of(LENGTHS, seed)
    sampler.set_epoch(number)
    return list(sampler)


def test_every_image_once_an_epoch_but_those_that_fill_the_last_batch():
    seen = Counter(row for row, _ in epoch(0))
    assert seen.keys() == set(range(len(LENGTHS)))
    assert sum(seen.values()) == 1024 and max(seen.values()) == 2


def test_fewer_images_than_a_batch():
    sampler = sampler_of(LENGTHS[:10])
    assert len(list(sampler)) == len(sampler) == 32 and {row for row, _ in sampler} == set(range(10))


def test_an_epoch_can_be_drawn_again_so_that_a_resumed_run_sees_the_same():
    assert epoch(3) == epoch(3)


def test_epochs_and_seeds_differ_in_order_and_in_references():
    assert epoch(0) != epoch(1) and epoch(0) != epoch(0, seed=1)
    assert dict(epoch(0)) != dict(epoch(1))


def test_all_references_get_their_turn():
    seen = {example for number in range(40) for example in epoch(number)}
    assert len(seen) > 0.99 * sum(map(len, LENGTHS))


def test_captions_of_a_batch_are_of_similar_length():
    def padding(examples):
        sizes = [LENGTHS[row][reference] for row, reference in examples]
        batches = [sizes[i : i + 32] for i in range(0, len(sizes), 32)]
        return sum(max(batch) * len(batch) for batch in batches) / sum(sizes) - 1

    shuffled = epoch(0)
    random.Random(0).shuffle(shuffled)
    assert padding(epoch(0)) < 0.2 * padding(shuffled)


def test_batches_are_whole_and_stand_where_the_data_loader_cuts():
    sizes = [LENGTHS[row][reference] for row, reference in epoch(0)]
    batches = [sizes[i : i + 32] for i in range(0, len(sizes), 32)]
    assert {len(batch) for batch in batches} == {32}
    assert sum(max(batch) - min(batch) <= 3 for batch in batches) > 0.9 * len(batches)


@pytest.mark.parametrize("views", [1, 3])
def test_choosing_for_all_images_at_once_is_choosing_for_one_after_the_other(views):
    lengths = [references[: 1 + i % 5] for i, references in enumerate(LENGTHS)]
    one_by_one = torch.Generator().manual_seed(7)
    expected = [int(torch.randint(views * len(refs), (1,), generator=one_by_one)) for refs in lengths]
    chosen = sampler_of(lengths, views=views)._choose(torch.Generator().manual_seed(7))
    assert chosen.tolist() == expected and max(expected) >= 4 * views


def test_numbers_of_references_without_a_common_multiple():
    lengths = [[5] * n for n in range(1, 200)]
    assert all(choice < len(lengths[row]) for row, choice in sampler_of(lengths))
