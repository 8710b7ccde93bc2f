"""An export works where nobody knows this project: transformers, the files, and nothing else."""

import json
from pathlib import Path

import pytest
from PIL import Image

from components.errors import UserError
from components.model import CaptionModel
from tests.elsewhere import elsewhere
from tests.tracking_fixtures import tiny_captioner

LOADED = """
from PIL import Image
config = transformers.AutoConfig.from_pretrained(folder, **trusted)
model = transformers.AutoModel.from_pretrained(folder, **trusted)
processor = transformers.AutoProcessor.from_pretrained(folder, **trusted)
images = [Image.open(picture) for picture in pictures]
answer = {
    "classes": [type(part).__name__ for part in (config, model, processor)],
    "module": type(model).__module__,
    "learned": sorted(name for name, tensor in model.named_parameters() if tensor.requires_grad),
    "caption": model.caption(images),
    "generate": processor.batch_decode(model.generate(**processor(images=images))),
    "pipeline": piped(folder, pictures),
    "in batches": piped(folder, pictures, batch_size=3),
    "three each": piped(folder, pictures, batch_size=3, num_return_sequences=3),
    "one beam": piped(folder, pictures, num_beams=1),
    "begun": piped(folder, pictures[:1], text="two green"),
}
transformers.AutoModelForImageTextToText.from_pretrained(folder, **trusted).save_pretrained(folder + "-again")
"""
UNTRUSTED = """
try:
    answer = str(transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False))
except ValueError as error:
    answer = str(error)
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    """Of several modes; of the last a half is transparent, over black."""
    clear = Image.new("RGBA", (30, 20), "green")
    clear.paste((0, 0, 0, 0), (0, 0, 15, 20))
    red, blue = Image.new("RGB", (30, 20), "red"), Image.new("RGB", (30, 20), "blue").convert("P")
    kinds = [red, blue, Image.new("L", (30, 20), 40), clear]
    files = [tmp_path_factory.mktemp("pictures") / f"{i}.png" for i in range(len(kinds))]
    for kind, file in zip(kinds, files, strict=True):
        kind.save(file)
    return files


@pytest.mark.parametrize(("mapper", "seed"), [("mlp", 60), ("transformer", 21)])
def test_an_export_captions_the_same_without_this_project(mapper, seed, pictures, tmp_path):
    model = tiny_captioner(seed, mapper=mapper)
    model.generation_config.update(num_beams=3, max_new_tokens=8)
    images = [Image.open(file) for file in pictures]
    expected = model.caption(images)
    assert len(set(expected)) == len(images), "another seed: these captions say nothing of their pictures"
    folder = tmp_path / "captioner"
    model.save_pretrained(folder, include_towers=True)
    found = elsewhere(LOADED, folder, pictures, tmp_path)
    assert found["classes"] == ["CaptionConfig", "CaptionModel", "CaptionProcessor"]
    assert found["module"].startswith("transformers_modules.")
    assert found["learned"] == sorted(model.bridge_state_dict())
    assert found["caption"] == found["generate"] == expected
    assert found["pipeline"] == found["in batches"] == [[caption] for caption in expected]
    several = model.caption(images, num_return_sequences=3)
    assert found["three each"] == [several[i : i + 3] for i in range(0, len(several), 3)]
    assert found["one beam"] == [[caption] for caption in model.caption(images, num_beams=1)]
    assert found["one beam"] != found["pipeline"]
    assert found["begun"][0][0].startswith("two green")
    again = tmp_path / "captioner-again"
    assert elsewhere("answer = piped(folder, pictures)", again, pictures, tmp_path) == found["pipeline"]


def test_without_trust_nothing_of_it_runs(tmp_path):
    tiny_captioner().save_pretrained(tmp_path / "captioner", include_towers=True)
    assert "trust_remote_code=True" in elsewhere(UNTRUSTED, tmp_path / "captioner", [], tmp_path)


def test_where_the_package_is_known_an_export_is_a_checkpoint_like_any_other(tmp_path):
    """And what is saved of it without code does not promise any."""
    model = tiny_captioner()
    model.save_pretrained(tmp_path / "captioner", include_towers=True)
    assert "auto_map" in json.loads((tmp_path / "captioner" / "config.json").read_text())
    loaded = CaptionModel.from_pretrained(tmp_path / "captioner")
    loaded.config.towers = {name: {"source": "/nowhere", "sha256": ""} for name in ("vision", "text")}
    loaded.save_pretrained(tmp_path / "bridge")
    assert not list((tmp_path / "bridge").glob("*.py"))
    for file in ("config.json", "processor_config.json"):
        saved = json.loads((tmp_path / "bridge" / file).read_text())
        assert "auto_map" not in saved and "custom_pipelines" not in saved
    with pytest.raises(UserError, match="/nowhere"):
        CaptionModel.from_pretrained(tmp_path / "bridge")
