"""Parameter counts, against those that the system was described with."""

import re
import subprocess
import sys

import pytest
import torch
import yaml

from components.model import CaptionConfig, CaptionModel
from components.model.summary import config_of, summarize
from components.variants import VARIANTS
from tests.model_fixtures import RECORDINGS
from tests.parameters import HUB, TINY, merged, tiny


def _lines(text: str) -> list[str]:
    return [" ".join(line.replace("│", " │ ").split()) for line in text.splitlines()]


def test_the_full_default_shows_every_line_of_the_description():
    printed = _lines(str(summarize(CaptionConfig())))
    described = (RECORDINGS / "architecture.txt").read_text().split("config.yaml\n")[1]
    lines = _lines(described)[1:]
    assert len(lines) == 23
    position = -1
    for line in lines:  # in the same order, too
        position = printed.index(line, position + 1)


def test_counts_are_those_of_the_model_itself():
    with torch.device("meta"):
        model = CaptionModel(CaptionConfig())
    assert model.num_parameters() == 250_922_264
    assert model.num_parameters(only_trainable=True) == 39_026_456
    frozen = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    assert frozen == 211_895_808
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert sizes["vision_encoder"] == 87_456_000
    assert sizes["mapper"] == 393_728 + 393_984
    assert sizes["resampler"] == 433_152 + 4 * 2_363_904 + 1_536
    assert sizes["text_generator"] == 152_788_248


def test_towers_of_the_hub_make_the_full_default(tmp_path):
    hub = merged(HUB, {"model": {"feature_layer": -1}})
    assert config_of(tiny(**hub), "mlp", towers=tmp_path).to_dict() == CaptionConfig().to_dict()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_the_embedded_run(variant, tmp_path, pretrained):
    towers = {name: str(pretrained / name) for name in ("clip", "gpt2")}
    config = config_of(tiny(towers=towers), variant, towers=tmp_path)
    tree = summarize(config)
    with torch.device("meta"):
        model = CaptionModel(config)
    assert tree.total_params == model.num_parameters()
    assert tree.trainable_params == sum(p.numel() for p in model.bridge_parameters())
    assert f"{tree.trainable_params:,}" in str(tree)


def test_the_command_prints_both_trees(tmp_path):
    values = merged(TINY, HUB | {"variants": ["transformer"]})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "components.model.summary", "--params", str(tmp_path / "params.yaml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert len(re.findall("TransformerEncoder: 2-2", printed)) == 2
    failed = subprocess.run([*command[:-1], "missing.yaml"], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "missing.yaml: no such file" in failed.stderr
