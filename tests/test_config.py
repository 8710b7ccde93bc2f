"""params.yaml, the profiles, and what is wrong with them."""

import inspect
from pathlib import Path

import pytest
import yaml

from components.config import Params
from components.data.sources import source_of, sources
from components.errors import UserError
from flows.use_profile import profile
from tests.parameters import HUB, ROOT, TINY, merged

PROFILES = sorted((ROOT / "profiles").glob("*.yaml"))


def keys(values: dict, prefix: str = "") -> set[str]:
    """All dotted leaf keys."""
    found = set()
    for key, value in values.items():
        found |= keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found


def load_with(tmp_path: Path, change: dict) -> Params:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(merged(TINY, change)))
    return Params.load(path)


def test_the_projects_params_yaml_loads():
    """Whatever a user has made of it; the only test that looks at it."""
    assert source_of(Params.load(ROOT / "params.yaml").data)


@pytest.mark.parametrize("changes", PROFILES, ids=lambda path: path.stem)
def test_a_profile_loads_and_has_no_key_of_its_own(changes):
    assert Params.load(ROOT / "params.yaml", changes)
    assert keys(yaml.safe_load(changes.read_text())) < keys(TINY)


def test_params_yaml_names_every_option_of_every_source_so_that_dvc_sees_it():
    ours = [s for s in sources().values() if Path(inspect.getfile(s)).is_relative_to(ROOT)]  # not a test's
    options = {key for source in ours for key in source.Options.model_fields}
    for file in ("params.yaml", "tests/params.yaml"):
        assert options <= set(yaml.safe_load((ROOT / file).read_text())["data"])


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A folder with the suite's params.yaml, and the profiles."""
    (tmp_path / "params.yaml").write_text((ROOT / "tests/params.yaml").read_text())
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_profile_changes_what_it_names_and_nothing_else(project):
    before = (project / "params.yaml").read_text().replace('licence: ""', 'licence: "mine"  # and a comment')
    (project / "params.yaml").write_text(before)
    profile("hub")
    after = (project / "params.yaml").read_text()
    assert yaml.safe_load(after) == merged(yaml.safe_load(before), HUB)
    same = [a == b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)]
    assert same.count(False) <= len(keys(HUB)) and '  licence: "mine"  # and a comment' in after
    assert Params.load().towers.clip == "openai/clip-vit-base-patch32"
    profile("hub")
    assert (project / "params.yaml").read_text() == after
    profile("coco", "data.folder=/data/coco")
    params = Params.load()
    assert (params.data.folder, params.data.source, params.train.batch_size) == (
        "/data/coco",
        "karpathy",
        256,
    )
    assert params.towers.clip == "openai/clip-vit-base-patch32", "of the profile before"


def test_a_profile_that_is_none_changes_nothing(project):
    with pytest.raises(UserError, match="profiles/huge.yaml: no such file. There are: .*hub"):
        profile("huge")
    (project / "params.yaml").write_text(yaml.safe_dump(merged(TINY, {"train": {"fsdp": True}})))
    before = (project / "params.yaml").read_text()
    with pytest.raises(UserError, match="params.yaml with train.epoks=3: unknown key 'train.epoks'"):
        profile("train.epoks=3")
    (project / "profiles").unlink()
    (project / "profiles").mkdir()
    (project / "profiles/one.yaml").write_text("train: {optim: muon}")
    with pytest.raises(UserError, match="optim is muon, which needs whole matrices"):
        profile("one")
    assert (project / "params.yaml").read_text() == before


def test_a_profile_that_is_taken_for_params_yaml_is_told_what_to_do():
    with pytest.raises(
        UserError, match="missing: seed, variants, .* over params.yaml: python -m flows.use_profile"
    ):
        Params.load(ROOT / "profiles/hub.yaml")


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
    with pytest.raises(UserError, match="data.num_frames is 8, model.resampler.num_time_embeds only 2"):
        load_with(tmp_path, {"data": {"source": "video"}})
    with pytest.raises(UserError, match="data.num_frames is 8, model.resampler.num_time_embeds only 2"):
        load_with(tmp_path, {"data": {"source": "msrvtt"}})


def test_clips_that_auto_finds_are_held_against_the_time_embeddings(tmp_path):
    params = load_with(tmp_path, {"data": {"source": "auto"}})
    params.require_time_embeddings(longest=2)
    with pytest.raises(UserError, match="clips of 3 frames .*num_frames.*num_time_embeds is only 2"):
        params.require_time_embeddings(longest=3)
    load_with(tmp_path, {"variants": ["mlp-only"]}).require_time_embeddings(longest=3)


@pytest.mark.parametrize("text", ["{", "- a list", ""])
def test_a_file_that_is_no_mapping_is_one_message(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params.yaml: "):
        Params.load(tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(UserError, match="Run from the project root"):
        Params.load(tmp_path / "params.yaml")


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
