"""Attention maps: what the fused kernel never forms, formed on request."""

import torch

from components.model.attention import attend
from components.model.attention_maps import attention_maps, rollout
from tests.model_fixtures import captions, images, tiny_model

torch.set_num_threads(1)


def test_eager_and_fused_attention_agree():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, length, 8, generator=generator) for length in (4, 6, 6))
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])[:, None, None]
    for seen in (None, mask):
        fused, nothing = attend(query, key, value, seen)
        eager, weights = attend(query, key, value, seen, output_weights=True)
        torch.testing.assert_close(fused, eager)
        assert nothing is None
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3, 4))
    assert (weights[1, ..., 4:] == 0).all()


def test_asking_for_attention_changes_no_output():
    model, ids = tiny_model(cross_attention_every=2), captions(4)
    mask = torch.ones_like(ids)
    mask[1, :3] = mask[2, 5:] = 0
    with torch.no_grad():
        plain = model(pixel_values=images(2, 2), input_ids=ids, attention_mask=mask)
        watched = model(pixel_values=images(2, 2), input_ids=ids, attention_mask=mask, output_attentions=True)
    torch.testing.assert_close(plain.logits, watched.logits, atol=1e-5, rtol=0)
    assert plain.cross_attentions is None
    assert [tuple(w.shape) for w in watched.cross_attentions] == [(4, 3, 2 + 7, 4)] * 2
    assert [tuple(w.shape) for w in watched.resampler_attentions] == [(2, 2, 4, 2 * 5 + 4)] * 2


def test_maps_are_shares_of_the_visual_tokens():
    model = tiny_model()
    maps = attention_maps(model, captions(3), pixel_values=images(3, 2))
    assert maps.words.shape == (3, 7, 2, 5)
    torch.testing.assert_close(maps.words.sum(dim=(2, 3)), torch.ones(3, 7))
    assert (maps.words >= 0).all()
    assert maps.grids().shape == (3, 7, 2, 2, 2)
    assert torch.equal(maps.grids()[0, 0, 0].flatten(), maps.words[0, 0, 0, 1:])  # without the class token
    assert len(maps.cross_attention) == 4
    assert len(maps.resampler) == 2


def test_absent_frames_are_not_looked_at():
    mask = torch.tensor([[True, False], [True, True]])
    maps = attention_maps(tiny_model(), captions(2), pixel_values=images(2, 2), frame_mask=mask)
    assert (maps.words[0, :, 1] == 0).all()
    assert (maps.words[1, :, 1] > 0).all()


def test_maps_do_not_depend_on_the_padding_side():
    """Row i of the maps is where the model looked to choose token i, wherever the padding is."""
    model, ids, pad = tiny_model(), captions(1, 5), torch.zeros(1, 2, dtype=torch.long)
    ones, nothing = torch.ones_like(ids), torch.zeros_like(pad)
    plain = attention_maps(model, ids, pixel_values=images(1)).words
    left = attention_maps(
        model, torch.cat((pad, ids), 1), torch.cat((nothing, ones), 1), pixel_values=images(1)
    ).words[:, 2:]
    right = attention_maps(
        model, torch.cat((ids, pad), 1), torch.cat((ones, nothing), 1), pixel_values=images(1)
    ).words[:, :5]
    torch.testing.assert_close(left, plain)
    torch.testing.assert_close(right, plain)


def test_maps_before_training():
    """With all gates closed no block counts more than another; the maps are still shares."""
    maps = attention_maps(tiny_model(gates=0.0), captions(2), pixel_values=images(2))
    torch.testing.assert_close(maps.words.sum(dim=(2, 3)), torch.ones(2, 7))


def test_rollout_by_hand():
    """Two latents, three visual tokens. In layer 1, latent 0 looks at token 0 and latent 1 at token 2; in
    layer 2, latent 0 looks at latent 1 and latent 1 at token 1; each keeps half of what it had.
    """
    one = torch.tensor([[1.0, 0, 0, 0, 0], [0, 0, 1, 0, 0]])[None, None]
    two = torch.tensor([[0.0, 0, 0, 0, 1], [0, 1, 0, 0, 0]])[None, None]
    shares = rollout([one, two], media=3)[0]
    torch.testing.assert_close(shares[0], torch.tensor([0.5, 0, 0.5]))
    torch.testing.assert_close(shares[1], torch.tensor([0, 2 / 3, 1 / 3]))


def test_attention_finds_the_patch_that_decides():
    """A latent that is made to look for one patch, and words that look at that latent, point to the patch."""
    model = tiny_model(resampler_depth=1)
    attention = model.resampler.layers[0][0]
    features = model.encode_images(images(1))
    with torch.no_grad():
        attention.to_kv.weight.zero_()
        attention.to_kv.weight[:16] = torch.eye(16, 32) * 4  # keys: the first 16 channels
        attention.to_q.weight.zero_()
        model.resampler.time_embeds.zero_()
        normed = attention.norm_media(features)[0, 0]
        direction = normed[3, :16] / normed[3, :16].norm()
        latents = attention.norm_latents(model.resampler.latents)
        attention.to_q.weight.copy_(direction[:, None] * torch.linalg.pinv(latents).sum(dim=1)[None] * 20)
    words = attention_maps(model, captions(1), vision_features=features).words[0, :, 0]
    assert (words.argmax(dim=-1) == 3).all()
