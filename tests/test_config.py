"""params.yaml and what is wrong with it."""

from pathlib import Path

import pytest
import yaml

from components.config import Params
from components.errors import UserError

ROOT = Path(__file__).parents[1]


def keys(values: dict, prefix: str = "") -> set[str]:
    """All dotted leaf keys."""
    found = set()
    for key, value in values.items():
        found |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found


def load_with(tmp_path: Path, change: dict) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values | change))
    return Params.load(path)


def test_params_yaml_names_every_key_so_that_dvc_sees_it():
    written = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert keys(written) == keys(Params().model_dump(by_alias=True))


def test_the_full_size_names_every_key_too():
    written = yaml.safe_load((ROOT / "profiles/hub.yaml").read_text())
    assert keys(written) == keys(Params().model_dump(by_alias=True))
    assert Params.load(ROOT / "profiles/hub.yaml").towers.clip == "openai/clip-vit-base-patch32"


def test_a_misspelt_key_is_named_with_its_neighbours(tmp_path):
    with pytest.raises(UserError, match=r"unknown key 'model.maper'. Known here: .*mapper"):
        load_with(tmp_path, {"model": {"maper": {}}})


def test_a_value_out_of_range_is_named_with_its_value(tmp_path):
    with pytest.raises(UserError, match=r"'train.learning_rate' is -1: Input should be greater than 0"):
        load_with(tmp_path, {"train": {"learning_rate": -1}})


def test_all_faults_are_told_at_once(tmp_path):
    with pytest.raises(UserError) as error:
        load_with(tmp_path, {"sed": 1, "seed": "one"})
    assert "unknown key 'sed'" in str(error.value) and "'seed' is 'one'" in str(error.value)


def test_an_unknown_variant_is_refused(tmp_path):
    with pytest.raises(UserError, match="resampler_only"):
        load_with(tmp_path, {"variants": ["resampler_only"]})


def test_clashing_options_are_named_together(tmp_path):
    with pytest.raises(UserError, match="batch_size 32 is no multiple of num_processes 3"):
        load_with(tmp_path, {"train": {"batch_size": 32, "num_processes": 3}})


@pytest.mark.parametrize("text", ["{", "- a list"])
def test_a_file_that_is_no_mapping_is_one_message(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params.yaml: "):
        Params.load(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="Run from the project root"):
        Params.load(tmp_path / "params.yaml")


def test_objects_that_no_source_would_read_are_refused(tmp_path):
    with pytest.raises(
        UserError, match="objects are read by the sources coco and karpathy, source is scenes"
    ):
        load_with(tmp_path, {"data": {"objects": "instances.json"}})
    data = load_with(
        tmp_path, {"data": {"source": "coco", "objects": {"val": "v.json"}, "folder": "/data"}}
    ).data
    assert data.files()["objects"] == {"val": "/data/v.json"}


@pytest.mark.parametrize(
    "name", ["team/captioner", "captioner ", " captioner", "a:b", "a@b", "it's", ".", "..", "a\tb", "a?b"]
)
def test_a_name_that_the_registry_does_not_take_is_refused_when_params_yaml_is_read(name, tmp_path):
    with pytest.raises(UserError, match="register.name: .* is no name for MLflow's registry"):
        load_with(tmp_path, {"register": {"name": name}})


def test_the_registry_takes_every_name_that_is_not_refused(tmp_path):
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_model_name

    for character in map(chr, range(32, 300)):
        name = f"a{character}b"
        try:
            load_with(tmp_path, {"register": {"name": name}})
        except UserError:
            continue
        try:
            _validate_model_name(name)
        except MlflowException:
            pytest.fail(f"MLflow refuses {name!r}")
