"""The stage `towers`: what it brings, what it says of it, and what it refuses."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    CLIPModel,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

from components.errors import UserError
from components.features.encoder import ClipEncoder, load_clip, text_embeds
from components.model import CaptionModel
from components.towers.build import build_towers
from tests.flows_fixtures import environment
from tests.parameters import ROOT, tiny


@pytest.fixture
def folders(pretrained, tmp_path):
    """A copy of the tiny towers, to be spoilt."""
    return Path(shutil.copytree(pretrained, tmp_path / "pretrained"))


@pytest.fixture
def build(folders, tables, tmp_path):
    """Runs the stage on the copy; `towers` overrides parameters."""

    def run(**towers) -> Path:
        named = {name: str(folders / name) for name in ("clip", "gpt2")}
        build_towers(tiny(towers=named | towers), tables, tmp_path / "towers")
        return tmp_path / "towers"

    return run


def test_the_tensors_are_those_that_were_given_in_their_own_dtype(towers, pretrained):
    for name in ("clip", "gpt2"):
        before, after = (load_file(folder / name / "model.safetensors") for folder in (pretrained, towers))
        assert before.keys() == after.keys()
        assert all(after[key].dtype == torch.float16 for key in after)
        assert all(torch.equal(before[key], after[key]) for key in before)


def test_folders_load_with_transformers_alone(towers):
    clip = CLIPModel.from_pretrained(towers / "clip")
    gpt2 = GPT2LMHeadModel.from_pretrained(towers / "gpt2")
    assert clip.config.vision_config.hidden_size == gpt2.config.n_embd == 32
    assert AutoTokenizer.from_pretrained(towers / "gpt2").bos_token == "<|endoftext|>"
    assert sorted(p.name for p in towers.iterdir()) == ["clip", "gpt2", "metrics.json", "towers.json"]


def test_all_files_have_the_mode_of_any_new_file(towers, tmp_path):
    (tmp_path / "new").touch()
    mode = (tmp_path / "new").stat().st_mode
    assert {file.stat().st_mode for file in towers.rglob("*") if file.is_file()} == {mode}


def test_whatever_is_stored_is_computed_in_float32(towers, tables, params, tmp_path):
    encoder = ClipEncoder(towers / "clip", params.model.feature_layer)
    features, embeds = encoder(
        torch.from_numpy(encoder.fit([tables.open_image(tables.images["image_id"][0])]))
    )
    assert features.dtype == embeds.dtype == torch.float32
    model = CaptionModel.from_towers(towers / "clip", towers / "gpt2")
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    model.save_pretrained(tmp_path / "bridge")
    model.save_pretrained(tmp_path / "all", include_towers=True)
    for name in ("bridge", "all"):
        loaded = CaptionModel.from_pretrained(tmp_path / name)
        assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}, name
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))


def test_the_stage_says_what_the_towers_can_do_and_where_they_came_from(towers, pretrained):
    metrics = json.loads((towers / "metrics.json").read_text())
    assert 0 <= metrics["R@1"] <= metrics["R@5"] <= 1
    assert metrics["perplexity"] < 20, "the language model knows less than it has learned in the fixture"
    origins = json.loads((towers / "towers.json").read_text())
    assert origins["clip"]["source"] == str(pretrained / "clip") and origins["clip"]["revision"] is None
    assert len(origins["gpt2"]["sha256"]) == 64


def test_a_model_of_the_hub_is_pinned_to_its_commit(folders, tables, tmp_path):
    """By a cache as the hub's own client fills it, without a network."""
    commit, cache = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub"
    repository = cache / "models--somebody--tiny-gpt2"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "v1").write_text(commit)
    shutil.copytree(folders / "gpt2", repository / "snapshots" / commit)
    code = "import sys; from components.towers.fetch import fetch; print(fetch('gpt2', *sys.argv[1:]).commit)"
    offline = environment(ROOT) | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
    for revision in ("v1", commit):
        command = [sys.executable, "-c", code, "somebody/tiny-gpt2", revision]
        done = subprocess.run(command, env=offline, capture_output=True, text=True)
        assert done.stdout.strip() == commit, done.stderr


def test_a_siglip_will_do(folders, build):
    """It pools text at its last position, and has no projection."""
    tokenizer = AutoTokenizer.from_pretrained(folders / "clip")
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = shared | {"vocab_size": len(tokenizer), "max_position_embeddings": 32}
    vision = shared | {"image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folders / "clip")
    towers = build()
    clip = load_clip(towers / "clip")
    alone, together = (
        text_embeds(clip, tokenizer, ["a cat"]),
        text_embeds(clip, tokenizer, ["a cat", "two red cars"]),
    )
    assert torch.allclose(alone[0], together[0], atol=1e-6)


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def no_folder(folders: Path) -> None:
    shutil.rmtree(folders / "clip")


def another_kind(folders: Path) -> None:
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(
        folders / "clip"
    )


def a_clip_for_gpt2(folders: Path) -> None:
    shutil.rmtree(folders / "gpt2")
    shutil.copytree(folders / "clip", folders / "gpt2")


def no_weights(folders: Path) -> None:
    (folders / "clip" / "model.safetensors").unlink()


def a_pointer_for_weights(folders: Path) -> None:
    (folders / "clip" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")


def a_tensor_short(folders: Path) -> None:
    path = folders / "gpt2" / "model.safetensors"
    tensors = load_file(path)
    del tensors["transformer.wpe.weight"]
    save_file(tensors, path, {"format": "pt"})


def another_width(folders: Path) -> None:
    edit_json(folders / "gpt2" / "config.json", n_embd=64)


def a_pickle_cut_off(folders: Path) -> None:
    no_weights(folders)
    (folders / "clip" / "pytorch_model.bin").write_bytes(b"cut off")


def an_empty_tokenizer(folders: Path) -> None:
    (folders / "gpt2" / "tokenizer.json").write_text("{}")


def no_tokenizer(folders: Path) -> None:
    for path in (folders / "gpt2").glob("tokenizer*"):
        path.unlink()


def a_larger_tokenizer(folders: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders / "gpt2")
    tokenizer.add_tokens([f"token{n}" for n in range(10)])
    tokenizer.save_pretrained(folders / "gpt2")


def another_end(folders: Path) -> None:
    edit_json(folders / "gpt2" / "config.json", eos_token_id=7)


def word_tokenizer(folders: Path, known: list[str]) -> None:
    """One that knows `known`, and has as many tokens as the model."""
    words = ["<|endoftext|>", "<unk>", *known]
    words += [f"filler{n}" for n in range(len(words), 400)]
    core = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = {name: "<|endoftext|>" for name in ("bos_token", "eos_token", "pad_token")}
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", **ends).save_pretrained(
        folders / "gpt2"
    )


def unknown_words(folders: Path) -> None:
    word_tokenizer(folders, ["a", "two"])


def no_spaces(folders: Path) -> None:
    """A byte-level vocabulary whose decoder has been lost."""
    path = folders / "gpt2" / "tokenizer.json"
    edit_json(path, decoder=None)


@pytest.mark.parametrize(
    ("spoil", "tower", "told"),
    [
        (
            no_folder,
            "clip",
            "save_pretrained wrote, such as pretrained/clip, or a model's name on the .* hub",
        ),
        (another_kind, "clip", "it is a 'bert'. A clip or siglip is needed there"),
        (a_clip_for_gpt2, "gpt2", "it is a 'clip'. A gpt2 is needed there"),
        (no_weights, "clip", "model.safetensors"),
        (a_pointer_for_weights, "clip", "save_pretrained wrote, such as pretrained/clip"),
        (a_tensor_short, "gpt2", "1 of its tensors are missing, such as 'transformer.wpe.weight'"),
        (another_width, "gpt2", "of its tensors have another shape than its config.json says, such as"),
        (a_pickle_cut_off, "clip", "a file of it is damaged"),
        (an_empty_tokenizer, "gpt2", "a file of it is damaged"),
        (no_tokenizer, "gpt2", "its tokenizer knows 1 tokens, the model 400: they do not belong together"),
        (a_larger_tokenizer, "gpt2", "its tokenizer knows 410 tokens, the model 400"),
        (another_end, "gpt2", "eos_token_id is 0 in its tokenizer and 7 in its config.json"),
        (
            unknown_words,
            "gpt2",
            "its tokenizer does not know [0-9]+ of [0-9]+ tokens of 500 training captions",
        ),
        (
            no_spaces,
            "gpt2",
            "does not give back what it reads: 500 of 500 training captions come out changed",
        ),
    ],
)
def test_a_tower_that_does_not_fit_is_one_message(spoil, tower, told, folders, build, tmp_path):
    spoil(folders)
    with pytest.raises(
        UserError, match=rf"params.yaml: towers.{tower} is '{folders / tower}': .*{told}"
    ) as error:
        build()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "towers").exists()


def test_a_folder_has_no_revision(build):
    with pytest.raises(UserError, match="a folder has no revision 'v2'. Set towers.gpt2_revision to null"):
        build(gpt2_revision="v2")


@pytest.mark.skipif(
    not (ROOT / "pretrained/clip/config.json").exists(), reason="pretrained/ has no weights yet"
)
def test_the_towers_of_the_repository_pass_their_own_checks(build):
    towers = build(clip=str(ROOT / "pretrained/clip"), gpt2=str(ROOT / "pretrained/gpt2"))
    assert sum(path.stat().st_size for path in towers.rglob("*")) < 12 * 2**20


def test_threads_that_share_a_tower_see_their_own_pictures(towers, params, tables):
    """Both are inside the tower at once: no layer lets a thread go on before the other has come."""
    from threading import Barrier

    encoder = ClipEncoder(towers / "clip", params.model.feature_layer)
    images = [tables.open_image(image_id) for image_id in tables.images["image_id"][:2]]
    pixels = [encoder.processor([image], return_tensors="pt")["pixel_values"] for image in images]
    alone = [encoder(one)[0] for one in pixels]
    meeting = Barrier(2, timeout=60)
    layers = encoder.clip.vision_model.encoder.layers

    def wait(*_) -> None:
        meeting.wait()

    hooks = [layer.register_forward_hook(wait) for layer in layers]
    try:
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(lambda one: encoder(one)[0], pixels))
    finally:
        for hook in hooks:
            hook.remove()
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_captions_are_batched_alike_in_every_process(towers):
    """Another order within a batch, and the last digits of a score change."""
    clip = CLIPModel.from_pretrained(towers / "clip").eval()
    tokenizer = AutoTokenizer.from_pretrained(towers / "clip")
    batches = []

    def spy(texts, **kwargs):
        batches.append(list(texts))
        return tokenizer(texts, **kwargs)

    captions = [f"a cat {number}" for number in range(10, 50)]
    text_embeds(clip, spy, captions[::-1], batch_size=16)
    assert batches == [captions[:16], captions[16:32], captions[32:]]
