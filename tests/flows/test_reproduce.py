"""A version is made again from what was kept with it: by git, DVC and MLflow for real, in a pipeline whose
stages are arithmetic.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.errors import UserError
from components.registry.origin import METRICS, origin_folder, snapshot
from components.tracking.git import code_changes, git_tags
from components.tracking.runs import open_variant_run
from components.tracking.store import connect
from flows.reproduce import reproduce
from tests.tracking_fixtures import PARAMS, enter_project

STAGE = """
import json, pathlib, sys, yaml
ADDED = 1
out = pathlib.Path(sys.argv[1])
out.parent.mkdir(parents=True, exist_ok=True)
read = [pathlib.Path(path).read_text() for path in sys.argv[2:]]
score = (sum(map(len, read)) + ADDED) / (3 + yaml.safe_load(open("params.yaml"))["seed"])
content = {"systems": {"model": {"CIDEr": {"mean": score, "low": score, "high": score}}}}
out.write_text(json.dumps(content) if out.suffix == ".json" else "".join(read))
"""


def stages() -> dict:
    def stage(out: str, *deps: str, **more) -> dict:
        return {"cmd": f"python components/stage.py {out} {' '.join(deps)}", "deps": list(deps)} | more

    return {
        "prepare": stage("data/prepared", "raw.txt", outs=["data/prepared"]),
        "towers": stage("data/towers", "data/prepared", outs=["data/towers"]),
        "features": stage("data/features", "data/towers", outs=["data/features"]),
        "train": stage("models/${item.x}", "data/features", outs=["models/${item.x}"], matrix={"x": ["mlp"]}),
        "evaluate": stage(
            "results/${item.x}/metrics.json",
            "models/${item.x}",
            metrics=[{"results/${item.x}/metrics.json": {"cache": False}}],
            matrix={"x": ["mlp"]},
        ),
    }


def command(*words: str) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    who = {f"GIT_{role}_{what}": "t@t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(words, check=True, env=environment | who, stdout=subprocess.DEVNULL)


def register() -> str:
    """Run the pipeline and register what it made, as the stages do."""
    command(sys.executable, "-m", "dvc", "repro", "--quiet")
    params = yaml.safe_load(Path("params.yaml").read_text())
    with open_variant_run("mlp", stage="train", params=params, data="d") as run:
        run.log_artifact("results/mlp/metrics.json", "test")
        tags = git_tags()
        tags = {"git_commit": tags["mlflow.source.git.commit"], "git_dirty": tags["git.dirty"]}
        found = connect().client.create_model_version(
            "captioner", "file:///nowhere", run.require_id(), tags | {"variant": "mlp"}
        )
        for name, text in snapshot().items():
            run.log_text(text, name, origin_folder("captioner", found.version))
    return f"models:/captioner/{found.version}"


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """The URI of a version, made from data that have been deleted since."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "true")
        enter_project(tmp_path_factory.mktemp("reproduce") / "project", patch)
        Path("components").mkdir()
        Path("components/stage.py").write_text(STAGE)
        Path("params.yaml").write_text(yaml.safe_dump(PARAMS))
        Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages()}))
        Path("raw.txt").write_text("seven cats")
        Path(".gitignore").write_text("/raw.txt\n/data\n/models\n/mlruns\n/reproduced\n")
        command("git", "init", "--quiet")
        command(sys.executable, "-m", "dvc", "init", "--quiet")
        command("git", "add", "--all")
        command("git", "commit", "--quiet", "-m", "all")
        connect().client.create_registered_model("captioner")
        yield register()


def test_the_same_code_data_and_parameters_give_the_same_digits(version, capfd):
    Path("raw.txt").unlink()
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"seed": 4}))
    assert reproduce(version)
    assert "all 3 test metrics came out the same to the last digit" in capfd.readouterr().out
    assert not Path("reproduced/captioner-1").exists()
    assert yaml.safe_load(Path("params.yaml").read_text())["seed"] == 4, "the user's files stay as they are"


def test_code_that_was_not_committed_was_kept_and_a_difference_is_told(version, capfd):
    Path("raw.txt").write_text("seven cats and a dog")
    Path("components/stage.py").write_text(STAGE.replace("ADDED = 1", "ADDED = 8"))
    Path("components/new.py").write_text("# not known to git\n")
    changed = register()
    command("git", "checkout", "--quiet", "components")
    Path("components/new.py").unlink()
    assert reproduce(changed)
    told = capfd.readouterr().out
    assert "not committed; they were kept and are applied: components/new.py, components/stage.py" in told

    store, scores = connect(), json.loads(Path("results/mlp/metrics.json").read_text())
    run_id = store.client.get_model_version("captioner", changed.rpartition("/")[2]).run_id
    other = {"systems": {"model": {"CIDEr": scores["systems"]["model"]["CIDEr"] | {"mean": 4.125}}}}
    store.client.log_text(run_id, json.dumps(other), METRICS)
    assert not reproduce(changed)
    told = capfd.readouterr().out
    assert "1 of 3 test metrics differ" in told and "4.125" in told and "git worktree remove" in told
    with pytest.raises(UserError, match="exists already. Remove it with"):
        reproduce(changed)


def test_what_cannot_be_made_again_says_why(version):
    client = connect().client
    known = client.get_model_version("captioner", version.rpartition("/")[2])
    orphan = client.create_model_version("captioner", "file:///nowhere", known.run_id, {"variant": "mlp"})
    with pytest.raises(UserError, match="nothing says what made it: no git commit, dvc.lock, params.yaml"):
        reproduce(f"models:/captioner/{orphan.version}")
    number = version.rpartition("/")[2]
    client.set_model_version_tag("captioner", number, "git_commit", "0" * 40)
    with pytest.raises(UserError, match="commit 0{40}, which is not in this clone. Get it: git fetch"):
        reproduce(version)
    client.set_model_version_tag("captioner", number, "git_commit", known.tags["git_commit"])
    for wrong in ("models:/captioner/99", "models:/captioner@best"):
        with pytest.raises(UserError, match=f"{wrong}: no such version. There are 1, "):
            reproduce(wrong)
    with pytest.raises(UserError, match="write models:/NAME/VERSION"):
        reproduce("captioner")
    shutil.move(".dvc/cache", ".dvc/elsewhere")
    try:
        with pytest.raises(UserError, match=r"lie neither in .*cache.* nor in a remote: data/prepared \("):
            reproduce(version)
    finally:
        shutil.rmtree(".dvc/cache", ignore_errors=True)
        shutil.move(".dvc/elsewhere", ".dvc/cache")
    assert not Path("reproduced/captioner-1").exists()


def test_parameters_and_results_make_no_code_dirty(version):
    command("git", "checkout", "--quiet", "components")
    Path("params.yaml").write_text(yaml.safe_dump(PARAMS | {"seed": 5}))
    assert git_tags()["git.dirty"] == "false" and code_changes() == ""
    Path("components/new.py").write_text("x = 1\n")
    assert git_tags()["git.dirty"] == "true" and "new file mode" in code_changes()
    Path("components/new.py").unlink()
