"""Decoding and likelihood with a real, small model; CLIPScore and perplexity against torchmetrics."""

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from components.evaluation.clip_score import clip_scores
from components.evaluation.scoring.decode import decode, likelihood
from components.evaluation.scoring.metrics import METRICS
from pretrained.tokenizer import clip_tokenizer, train_bpe
from tests.evaluation_fixtures import CAPTIONS, IMAGES, small_captioner


@pytest.fixture(scope="module")
def small():
    return small_captioner()


def test_decode_keeps_the_order_and_does_not_depend_on_the_batch(small):
    model, processor, inputs = small
    model.train()
    batched = decode(
        model, processor, IMAGES, inputs, batch_size=3, progress=None, num_beams=2, max_new_tokens=6
    )
    single = decode(
        model, processor, IMAGES, inputs, batch_size=1, progress=None, num_beams=2, max_new_tokens=6
    )
    assert model.training, "left in the mode that it was in"
    assert list(batched.captions) == list(batched.ended) == IMAGES
    assert batched == single
    assert len(set(batched.captions.values())) > 1


def test_ended_is_seen_for_each_caption(small):
    """A head biased towards the end token ends at once; away from it, never."""
    model, processor, inputs = small
    for banned, expected in ((model.config.eos_token_id, False), (None, True)):
        kwargs = (
            {"suppress_tokens": [banned]}
            if banned is not None
            else {"forced_eos_token_id": model.config.eos_token_id}
        )
        done = decode(
            model, processor, IMAGES, inputs, progress=None, max_new_tokens=4, num_beams=1, **kwargs
        )
        assert set(done.ended.values()) == {expected}


def test_likelihood_equals_torchmetrics_on_the_whole_split(small):
    from torchmetrics.text import Perplexity

    model, processor, inputs = small
    model.eval()
    references = {image_id: CAPTIONS[: 2 + index % 3] for index, image_id in enumerate(IMAGES)}
    rows = likelihood(model, processor, references, inputs, batch_size=6, progress=None)
    metric = Perplexity(ignore_index=-100)
    for image_id, captions in references.items():
        for caption in captions:  # one at a time: no padding, no other caption
            text = processor(text=caption)
            with torch.no_grad():
                logits = model(**inputs([image_id]), **text).logits
            metric.update(logits[:, -text["labels"].shape[1] : -1], text["labels"][:, 1:])
    assert METRICS["perplexity"].corpus(rows) == pytest.approx(float(metric.compute()), rel=1e-5)
    tokens = [
        sum(len(processor(text=c)["input_ids"][0]) - 1 for c in several) for several in references.values()
    ]
    assert rows[:, 1].tolist() == tokens, "every token but BOS, the end included"


def test_blind_likelihood_is_that_of_the_other_image(small):
    model, processor, inputs = small
    references = dict.fromkeys(IMAGES, CAPTIONS[:2])
    shown = dict(zip(IMAGES, IMAGES[1:] + IMAGES[:1], strict=True))
    seeing = likelihood(model, processor, references, inputs, progress=None)
    blinded = likelihood(model, processor, references, inputs, shown, progress=None)
    np.testing.assert_allclose(blinded, np.roll(seeing, -1, axis=0), rtol=1e-5)
    assert not np.allclose(blinded, seeing, rtol=1e-5)


def test_clip_score_is_that_of_torchmetrics_from_pixels():
    from torchmetrics.multimodal import CLIPScore

    tokenizer = clip_tokenizer(train_bpe(CAPTIONS * 3, 320), 16)
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    torch.manual_seed(0)
    clip = CLIPModel(
        CLIPConfig(
            text_config=shared | ids | {"vocab_size": len(tokenizer), "max_position_embeddings": 16},
            vision_config=shared | {"image_size": 16, "patch_size": 8},
            projection_dim=24,
        )
    ).eval()
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    images = [torch.randint(255, (3, 16, 16), dtype=torch.uint8) for _ in CAPTIONS]

    class Towers(torch.nn.Module):
        """What torchmetrics expects of a CLIP model: plain tensors."""

        config = clip.config

        def get_image_features(self, pixel_values):
            return clip.get_image_features(pixel_values=pixel_values).pooler_output

        def get_text_features(self, input_ids, attention_mask):
            return clip.get_text_features(input_ids=input_ids, attention_mask=attention_mask).pooler_output

    def processor(text=None, images=None, **kwargs):
        return tokenizer(text, **kwargs) if images is None else pictures(images, return_tensors="pt")

    theirs = CLIPScore(model_name_or_path=lambda: (Towers(), processor))
    with torch.no_grad():
        theirs.update(images, CAPTIONS)
        embeds = clip.get_image_features(**pictures(images, return_tensors="pt")).pooler_output
    ours = clip_scores(clip, tokenizer, embeds, CAPTIONS)
    assert ours.shape == (len(CAPTIONS), 1)
    expected = 100 * torch.nn.functional.cosine_similarity(embeds, embeds).mean()
    assert abs(ours.mean()) < expected
    assert max(ours.mean(), 0) == pytest.approx(float(theirs.compute()), abs=1e-4)
    repeated = clip_scores(clip, tokenizer, embeds[[0, 0]], [CAPTIONS[0], "a very long caption " * 20])
    assert repeated[0] == pytest.approx(ours[0], abs=1e-4) and np.isfinite(repeated).all()
