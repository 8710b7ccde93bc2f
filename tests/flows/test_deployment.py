"""The deployment as a user meets it: a real server, a real worker, the commands as the README writes them."""

import json
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.flows_fixtures import copy_project, environment, run

pytestmark = pytest.mark.slow

PARAMS = {"train": {"epochs": 18, "validations": 9}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project whose server and worker run, and in which the deployment exists."""
    folder = copy_project(tmp_path_factory.mktemp("deployment") / "project", PARAMS)
    run(folder, "dvc", "init", "--no-scm", "--quiet").check_returncode()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = start(folder, "serve.log", "flows.prefect_server", "--port", str(port))
    try:
        until(lambda: (folder / ".prefect/server.json").exists() or serve.poll() is not None, 600)
        deployed = run(folder, "prefect", "deploy", "--all")
        assert deployed.returncode == 0, deployed.stdout + deployed.stderr
        yield folder
    finally:
        serve.send_signal(signal.SIGTERM)
        code = serve.wait(300)
    text = (folder / "serve.log").read_text()
    assert code == 0 and text.endswith("Stopped.\n"), text[-3000:]
    assert not (folder / ".prefect/server.json").exists()


def test_the_short_command_runs_the_pipeline_to_completion(project):
    done = run(project, "prefect", "deployment", "run", "train-caption", "--watch")
    assert done.returncode == 0, done.stdout + (project / "serve.log").read_text()[-3000:]
    assert flow_run(project, done.stdout)["state_type"] == "COMPLETED"
    assert (project / "reports/index.html").exists() and (project / "reports/registry.json").exists()
    assert re.search(r"step \d+/\d+  loss \d", done.stdout) and "Loading weights" not in done.stdout
    end = done.stdout[-2000:]  # what it is about, for those who watch
    assert "mlp: test CIDEr " in end and "mlp: clip-gpt2-captioner version 1" in end and "/runs/" in end

    run_id = flow_run(project, done.stdout)["id"]
    artifacts = artifacts_of(project, run_id)
    assert set(artifacts) == {"scores", "captions", "mlflow", "versions"}
    assert "CIDEr" in artifacts["scores"]["data"] and "/runs/" in artifacts["mlflow"]["data"]
    assert artifacts["captions"]["data"].startswith("data:image/")
    below = subflows(project, run_id)
    assert len(below) == 7, "prepare, towers, features, train, evaluate, report, register"
    assert {each["state_type"] for each in below} == {"COMPLETED"}


def test_the_deployment_and_dvc_agree_about_the_folder(project):
    """What the deployment made is what DVC would have made: each leaves the other nothing to do."""
    assert run(project, "dvc", "status", "--json").stdout.strip() == "{}"
    run(project, "dvc", "checkout").check_returncode()
    repro = run(project, "python", "-m", "flows.dvc_repro")
    assert repro.returncode == 0 and "Running stage" not in repro.stdout + repro.stderr
    again = run(project, "prefect", "deployment", "run", "train-caption", "--watch")
    assert again.returncode == 0 and "Stage 'train@mlp' didn't change, skipping" in again.stdout
    run_id = flow_run(project, again.stdout)["id"]
    assert not subflows(project, run_id) and "scores" in artifacts_of(project, run_id)


def test_some_variants_alone_are_reported_and_registered_and_dvc_knows(project):
    """The others of params.yaml are left for `dvc repro`, until they are there as well."""
    params = project / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("variants:\n- mlp\n", "variants:\n- mlp\n- transformer-only\n"))
    try:
        done = run(project, "prefect", "deployment", "run", "train-caption", "-p", "mapper=mlp", "--watch")
        assert done.returncode == 0, done.stdout
        assert list(json.loads((project / "reports/registry.json").read_text())) == ["mlp"]
        assert not (project / "models/transformer-only").exists()
        waiting = json.loads(run(project, "dvc", "status", "--json").stdout)
        assert set(waiting) == {"train@transformer-only", "evaluate@transformer-only"}
    finally:
        params.write_text(before)


def test_a_stage_that_fails_says_why_on_the_page_of_the_whole(project):
    params = project / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("clip: pretrained/clip", "clip: pretrained/no-such-clip"))
    try:
        done = run(project, "prefect", "deployment", "run", "train-caption", "--watch")
        state = flow_run(project, done.stdout)["state"]
        assert done.returncode == 1 and state["type"] == "FAILED"
        assert "pretrained/no-such-clip" in state["message"], state
    finally:
        params.write_text(before)


def test_the_deployment_is_a_form_and_everything_optional_is_off(project):
    deployment = api(project, "deployments/name/train-caption/train-caption")
    mapper = deployment["parameter_openapi_schema"]["properties"]["mapper"]
    assert mapper["enum"] == ["all", "mlp", "transformer", "none"] and mapper["description"]
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "ENQUEUE"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train-caption", "-p", "maper=mlp"], "not found on the deployment: 'maper'"),
        (["train-caption", "-p", "mapper=cnn"], "'cnn' is not one of ['all', 'mlp', 'transformer', 'none']"),
        (["train-captoin"], "Deployment 'train-captoin' not found!"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_message(project, arguments, told):
    done = run(project, "prefect", "deployment", "run", *arguments)
    output = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1 and told in output and "Traceback" not in output


def test_a_second_server_is_refused_by_the_address_of_the_first(project):
    done = run(project, "python", "-m", "flows.prefect_server")
    assert done.returncode == 1 and done.stderr.startswith(
        "\nflows.prefect_server: A server of this project runs already"
    )


def test_a_training_stopped_anywhere_ends_with_the_weights_it_would_have_had(project):
    """Cancelled by the server, killed and terminated at random steps, it goes on and ends as undisturbed."""
    weights = project / "models/mlp/model.safetensors"
    undisturbed = weights.read_bytes()
    last_step = json.loads((weights.parent / "history.json").read_text())[-1]["step"]
    shutil.rmtree(weights.parent)
    shutil.rmtree(project / ".dvc/cache")  # DVC would take the model from there, and train nothing

    name = "train-caption/train-caption"
    told = run(project, "prefect", "deployment", "run", name, "-p", "mapper=mlp").stdout
    checkpoints = project / "checkpoints/mlp"
    until(lambda: list(checkpoints.glob("checkpoint-*")), 600)
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}  # what the UI's button sends
    api(project, f"flow_runs/{flow_run(project, told)['id']}/set_state", cancelling)
    until(lambda: flow_run(project, told)["state_type"] == "CANCELLED", 300)

    seed = random.randrange(1000)
    chance = random.Random(seed)
    for number, code in (signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 130):
        begun = last_checkpoint(checkpoints)
        stop_at = begun + chance.randint(1, 30)
        training = start(project, "train.log", "flows.train", "mlp")
        until(lambda at=stop_at: max(steps(project / "train.log", last_step), default=0) >= at, 300)
        training.send_signal(number)
        assert training.wait(120) == code, f"seed {seed}: " + (project / "train.log").read_text()
        assert not weights.exists()
        assert min(steps(project / "train.log", last_step)) > begun, f"seed {seed}: began anew"
    retried = run(project, "prefect", "deployment", "run", name, "--watch")
    assert retried.returncode == 0 and "Stage 'towers' didn't change, skipping" in retried.stdout
    assert re.search(rf"goes on from step [1-9]\d* of {last_step}, its last checkpoint", retried.stdout)
    assert weights.read_bytes() == undisturbed, f"seed {seed}"
    assert [path.name for path in weights.parent.parent.iterdir()] == ["mlp"] and not checkpoints.exists()


def start(project, log: str, *module: str) -> subprocess.Popen:
    """`python -m MODULE` in the background."""
    with (project / log).open("w") as out:
        command = [sys.executable, "-m", *module]
        return subprocess.Popen(command, cwd=project, env=environment(project), stdout=out, stderr=out)


def steps(log, last: int) -> list[int]:
    """The steps that a training has told of."""
    return [int(step) for step in re.findall(rf"^step (\d+)/{last} ", log.read_text(), re.MULTILINE)]


def last_checkpoint(folder) -> int:
    """The step of the newest checkpoint."""
    return max(int(path.name.partition("-")[2]) for path in folder.glob("checkpoint-*"))


def api(project, path: str, body: dict | None = None):
    """What the server answers."""
    url = json.loads((project / ".prefect/server.json").read_text())["url"]
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def artifacts_of(project, run_id: str) -> dict[str, dict]:
    """Key -> artifact, of those on the page of a flow run."""
    asked = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
    return {artifact["key"]: artifact for artifact in api(project, "artifacts/filter", asked)}


def subflows(project, run_id: str) -> list[dict]:
    """The flow runs below one."""
    asked = {"flow_runs": {"parent_flow_run_id": {"any_": [run_id]}}}
    return api(project, "flow_runs/filter", asked)


def flow_run(project, told: str) -> dict:
    """What the server knows about the run that `prefect deployment run` told of."""
    run_id = re.search(r"UUID: (\S+)", told)[1]
    return api(project, f"flow_runs/{run_id}")


def until(condition, seconds: float):
    """Return when `condition` is true; it has `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.05)
