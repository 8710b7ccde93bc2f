"""Captions by the champion of the model that params.yaml names; a look for it leaves nothing behind."""

import pytest
import yaml

from components.errors import UserError
from flows.caption import caption, champion
from tests.tracking_fixtures import enter_project, pictures


def test_the_champion_is_that_of_the_registered_name(params, tmp_path, monkeypatch):
    project = enter_project(tmp_path / "project", monkeypatch)
    values = params.model_dump(by_alias=True) | {"register": {"name": "team captioner"}}
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    pictures(1)[0].save("picture.png")
    assert champion() == "models:/team captioner@champion"
    with pytest.raises(UserError, match="mlflow.db: no such file, so nothing is registered yet"):
        caption(["picture.png"])
    assert {path.name for path in project.iterdir()} == {"params.yaml", "picture.png"}
