"""The encoder: opening pictures ahead of the tower changes nothing; another precision is another store."""

import time
from itertools import islice
from multiprocessing import current_process, get_context

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from components.data.pictures import Problem
from components.errors import UserError
from components.features import encoder as module
from components.features.ahead import ahead, ahead_in_processes
from components.features.encoder import ClipEncoder, encoder_id, in_batches, takes_bf16
from components.features.views import augment


@pytest.mark.parametrize(
    ("readers", "in_processes"), [(0, False), (1, False), (3, False), (0, True), (2, True)]
)
@pytest.mark.parametrize("with_views", [False, True])
def test_any_number_of_readers_gives_the_same_bytes(
    tables, towers, params, readers, in_processes, with_views, monkeypatch
):
    """Those of one picture after the other, preprocessed and encoded a batch at a time."""
    monkeypatch.setattr(module, "FEW", 0)
    torch.manual_seed(0)
    image_ids = list(tables.images["image_id"][:21])
    views = [i % 2 for i in range(21)] if with_views else None
    encoder = ClipEncoder(towers / "clip", params.model.feature_layer, readers=readers)
    encoder.in_processes = in_processes
    random_numbers = torch.get_rng_state()
    digests, features, embeds = tables.images["sha256"], [], []
    for start in range(0, 21, 8):
        frames = [
            augment(tables.open_frames(image_ids[i]), digests[i], i % 2 if with_views else 0)[0]
            for i in range(start, min(start + 8, 21))
        ]
        with torch.inference_mode():
            hidden, outputs = encoder.vision.read(
                encoder.processor(frames, return_tensors="pt")["pixel_values"]
            )
            features.append(hidden.half())
            embeds.append(normalize(encoder.projection(outputs.pooler_output), dim=-1))
    done = []
    found = encoder.encode(tables, image_ids, 8, done.append, views)
    assert torch.equal(found[0], torch.cat(features)) and found[0].dtype == torch.float16
    assert torch.equal(found[1], torch.cat(embeds))
    assert done == [8, 8, 5]
    assert torch.equal(torch.get_rng_state(), random_numbers)


def test_batches_are_full_whatever_the_lengths_of_clips():
    parts = np.split(np.arange(11), [1, 5, 7])
    cut = [np.concatenate(batch).tolist() for batch in in_batches(parts, 3)]
    assert cut == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10]]
    assert [len(batch) for batch in in_batches([np.zeros(4)], 2)] == [1, 1]


def test_a_picture_that_is_gone_is_named_by_the_readers_too(tables, towers):
    encoder = ClipEncoder(towers / "clip", readers=2)
    with pytest.raises(UserError, match="no-such-image"):
        encoder.encode(tables, [tables.images["image_id"][0], "no-such-image"], 8)


def test_work_ahead_keeps_its_order_its_bound_and_drops_what_nobody_wants():
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.02 if number == 0 else 0)
        return number

    results = ahead(work, range(100), readers=2, depth=5)
    assert list(islice(results, 3)) == [0, 1, 2]
    results.close()
    assert len(begun) <= 3 + 5 + 1


def test_processes_keep_the_order_and_the_error():
    def work(number):
        if number == 7:
            raise Problem("image-unreadable", "the seventh")
        return np.full(3, number)

    results = ahead_in_processes(work, range(20), readers=2, depth=5)
    assert np.array_equal(list(islice(results, 7)), np.arange(7).repeat(3).reshape(7, 3))
    with pytest.raises(Problem, match="the seventh") as caught:
        next(results)
    assert caught.value.fault == "image-unreadable"


def test_a_process_that_may_have_none_reads_in_threads():
    def work(number):
        return current_process().pid, current_process().name

    def child(queue):
        queue.put(list(ahead_in_processes(work, range(4), readers=2, depth=2)))

    context = get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,), daemon=True)
    process.start()
    assert {pid for pid, _ in queue.get(timeout=60)} == {process.pid}
    process.join()
    assert process.pid not in {pid for pid, _ in ahead_in_processes(work, range(4), 2, 2)}


def test_bfloat16_is_near_and_another_tower_for_the_store(tables, towers, params):
    folder, layer = towers / "clip", params.model.feature_layer
    exact, rounded = ClipEncoder(folder, layer), ClipEncoder(folder, layer, bf16=True)
    assert exact.encoder_id == encoder_id(folder, layer) != rounded.encoder_id
    image_ids = list(tables.images["image_id"][:8])
    (a, b), (c, d) = (encoder.encode(tables, image_ids, 8) for encoder in (exact, rounded))
    assert not torch.equal(a, c)
    assert (a.float() - c.float()).norm() < 0.02 * a.float().norm()
    assert torch.allclose(b, d, atol=0.02) and d.dtype == torch.float32


def test_the_precision_is_asked_for_or_follows_from_the_gpu():
    assert takes_bf16(True) and not takes_bf16(False)
    assert takes_bf16(None) == (torch.cuda.is_available() and torch.cuda.is_bf16_supported())
