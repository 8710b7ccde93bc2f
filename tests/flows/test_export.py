"""A registered version as a folder for people without this project, and without its registry."""

import re

import pytest
from huggingface_hub import ModelCard
from PIL import Image

from components.errors import UserError
from components.registry.card import LICENCES
from components.registry.versions import log_captioner
from components.tracking.runs import open_variant_run
from flows.export import export
from tests.elsewhere import elsewhere
from tests.tracking_fixtures import PARAMS, enter_project, pictures, tiny_captioner

CARD = "---\nlicense: other\npipeline_tag: image-text-to-text\n---\n\n# A captioner"


@pytest.fixture
def project(tmp_path, monkeypatch):
    return enter_project(tmp_path / "project", monkeypatch)


def test_a_version_becomes_a_folder_that_captions_alone(project, tmp_path, capsys):
    captioner = tiny_captioner()
    captioner.generation_config.update(num_beams=2, max_new_tokens=8)
    with open_variant_run("mlp", stage="train", params=PARAMS, data="d") as run:
        about = {"card": CARD, "example": pictures(1)[0], "tags": {LICENCES: "CC0"}, "name": "captioner"}
        version = log_captioner(captioner, run.require_id(), **about)
    folder = tmp_path / "exported"
    export(f"models:/captioner/{version}", folder)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    told = capsys.readouterr().out
    assert re.search(rf"exported: {captioner.num_parameters():,} parameters, {size:,.0f} MB\.", told)
    card = ModelCard.load(folder / "README.md")
    assert (card.data.pipeline_tag, card.text.strip()) == ("image-text-to-text", "# A captioner")
    assert (folder / "LICENSE").read_text() == "CC0"
    assert "Apache License" in (folder / "LICENSE.code").read_text()
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, picture in zip(files, pictures(3), strict=True):
        picture.save(file)
    found = elsewhere("answer = piped(folder, pictures)", folder, files, tmp_path)
    assert found == [[caption] for caption in captioner.caption([Image.open(file) for file in files])]


def test_what_training_wrote_is_exported_too_but_has_no_card(tmp_path, capsys):
    tiny_captioner().save_pretrained(tmp_path / "mlp")
    export(str(tmp_path / "mlp"), tmp_path / "exported")
    assert "Without a model card" in capsys.readouterr().out
    assert not (tmp_path / "exported" / "README.md").exists()


def test_nothing_is_written_over(project, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    with pytest.raises(UserError, match="thesis: something is there already"):
        export("models:/captioner@champion", tmp_path / "thesis")
    with pytest.raises(UserError, match="nothing is registered yet"):
        export("models:/captioner@champion", tmp_path / "new")
    assert not (tmp_path / "new").exists()
