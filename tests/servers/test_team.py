"""A team works on its servers: one pushes data and models, a clone elsewhere pulls them, the worker runs the
pipeline, and somebody else loads the model. Nobody gets in without a password, and no password lies about.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests.flows_fixtures import TINY, copy_project, environment
from tests.servers.services import ROOT, SECRETS, Services, as_user, tool

pytestmark = pytest.mark.slow

MODEL = f"models:/{TINY['register']['name']}/1"
VALUES = {name: secrets.token_hex(16) for name in SECRETS} | {"S3_ACCESS_KEY": "captioner"}
PASSWORDS = {name: value for name, value in VALUES.items() if name != "S3_ACCESS_KEY"}
COLLEAGUE = {"MLFLOW_TRACKING_USERNAME": "colleague", "MLFLOW_TRACKING_PASSWORD": secrets.token_hex(16)}

LOAD = """
import json, sys
import mlflow.pytorch
from PIL import Image
model = mlflow.pytorch.load_model(sys.argv[1])
captions = model.caption([Image.open(path) for path in sys.argv[2:]])
print(json.dumps({"captions": captions, "code": sys.modules[type(model).__module__].__file__}))
"""
CAPTION = """
import json, sys
from PIL import Image
from components.registry.versions import load_captioner
print(json.dumps(load_captioner("models/mlp").caption([Image.open(path) for path in sys.argv[1:]])))
"""
CREATE_USER = """
import os, sys
from mlflow.server.auth.client import AuthServiceClient
AuthServiceClient(os.environ["MLFLOW_TRACKING_URI"]).create_user(sys.argv[1], os.environ["NEW_PASSWORD"])
"""
DELETE = "import mlflow, sys; mlflow.MlflowClient().delete_model_version(sys.argv[1], '1')"


class Team(Services):
    """The services, and people with a checkout each and the variables that docs/servers.md gives them."""

    def person(self, name: str) -> dict[str, str]:
        """The environment of somebody with all rights."""
        home = self.folder / f"home-{name}"
        home.mkdir(exist_ok=True)
        return {
            "HOME": str(home),
            "MLFLOW_TRACKING_URI": self.address("mlflow"),
            "MLFLOW_TRACKING_USERNAME": "admin",
            "MLFLOW_TRACKING_PASSWORD": VALUES["MLFLOW_PASSWORD"],
            "PREFECT_API_URL": f"{self.address('prefect')}/api",
            "PREFECT_API_AUTH_STRING": f"team:{VALUES['PREFECT_PASSWORD']}",
            "AWS_ENDPOINT_URL": self.address("s3"),
            "AWS_ACCESS_KEY_ID": VALUES["S3_ACCESS_KEY"],
            "AWS_SECRET_ACCESS_KEY": VALUES["S3_SECRET_KEY"],
        }

    def work(self, folder: Path, *command: str, **more: str) -> str:
        """What `command` in a checkout prints, which must succeed; the log keeps it."""
        who = {f"GIT_{role}_{what}": "t@t" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        given = environment(folder) | self.person(folder.name) | who | more
        done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=900)
        said = f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        with self.log("people").open("a") as log:
            log.write(said)
        assert done.returncode == 0, said[-5000:]
        return done.stdout

    def commit(self, folder: Path) -> None:
        """All that git does not ignore."""
        self.work(folder, "git", "add", "--all")
        self.work(folder, "git", "commit", "--quiet", "--message", "a commit")


@pytest.fixture(scope="module")
def team():
    """The servers, up."""
    with tempfile.TemporaryDirectory(prefix="team-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL and the colleague are other users
        with Team(folder, folder / "worker-checkout", VALUES) as team:
            team.start("mlflow")
            team.start("prefect")
            yield team


@pytest.fixture(scope="module")
def author(team):
    """A project under version control."""
    project = copy_project(team.folder / "author")
    with (project / ".gitignore").open("a") as file:
        file.write("*.dist-info\n")
    for name in ("raw", "pretrained/captioner"):  # git keeps no empty folder
        (project / name).mkdir(exist_ok=True)
        (project / name / "README.md").touch()
    team.work(project, "git", "init", "--quiet")
    team.work(project, "dvc", "init", "--quiet")
    team.work(project, "dvc", "remote", "add", "--default", "storage", "s3://dvc/captioner")
    team.commit(project)
    return project


@pytest.fixture(scope="module")
def clone(team, author):
    """A clone of it, in which the worker runs."""
    team.work(author, "git", "clone", "--quiet", ".", str(team.checkout))
    for info in author.glob("*.dist-info"):  # the installation
        shutil.copytree(info, team.checkout / info.name)
    team.start("worker")
    team.until("worker", lambda: "started!" in team.log("worker").read_text())
    return team.checkout


@pytest.fixture(scope="module")
def pushed(team, author, clone):
    """The project, after somebody ran it and pushed."""
    team.work(author, "dvc", "repro")
    team.commit(author)
    team.work(author, "dvc", "push")
    return author


@pytest.fixture(scope="module")
def pictures(team):
    """Three of them, which everybody may read."""
    paths = [team.folder / f"{colour}.png" for colour in ("red", "green", "blue")]
    for path in paths:
        Image.new("RGB", (64, 64), path.stem).save(path)
    return [str(path) for path in paths]


def test_a_clone_pulls_what_was_pushed_and_has_nothing_left_to_do(team, pushed, clone):
    assert not (clone / "data/prepared").exists()
    team.work(clone, "git", "pull", "--quiet")
    team.work(clone, "dvc", "pull")
    assert json.loads(team.work(clone, "dvc", "status", "--json")) == {}
    for name in ("data/prepared/captions.parquet", "models/mlp/model.safetensors"):
        assert (clone / name).read_bytes() == (pushed / name).read_bytes()


def test_the_worker_runs_the_pipeline_that_somebody_asks_for(team, pushed, clone):
    (clone / "reports/registry.json").unlink(missing_ok=True)
    team.work(pushed, "prefect", "deployment", "run", "train-caption/train-caption", "--watch")
    assert (clone / "reports/registry.json").exists()
    states = team.psql("prefect", "--tuples-only", "--command=SELECT DISTINCT state_type FROM flow_run")
    assert states.stdout.split() == ["COMPLETED"], states.stdout + states.stderr


def test_a_colleague_without_the_project_loads_the_model_and_may_not_change_it(team, pushed, pictures):
    name, password = COLLEAGUE.values()
    team.work(pushed, sys.executable, "-c", CREATE_USER, name, NEW_PASSWORD=password)
    done = as_colleague(team, LOAD, MODEL, *pictures)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    here = json.loads(team.work(pushed, sys.executable, "-c", CAPTION, *pictures).splitlines()[-1])
    assert answer["captions"] == here and len(here) == len(pictures)
    assert not answer["code"].startswith((str(team.folder), str(ROOT)))
    refused = as_colleague(team, DELETE, MODEL.split("/")[1])
    assert refused.returncode == 1 and "Permission denied" in refused.stderr


def test_a_key_that_may_only_read_does_no_more(team, pushed):
    [command] = re.findall(
        r"echo '(s3.configure .*)' \| .* weed shell", (ROOT / "docs/servers.md").read_text()
    )
    ports = (f"-master=127.0.0.1:{team.ports['master']}", f"-filer=127.0.0.1:{team.ports['filer']}")
    assert team.run("s3", "weed", "shell", *ports, given=f"{command}\n").returncode == 0
    key = {"aws_access_key_id": "ann", "aws_secret_access_key": "..."}
    store = boto3.client("s3", endpoint_url=team.address("s3"), **key)
    objects = store.list_objects_v2(Bucket="dvc")["Contents"]
    assert store.get_object(Bucket="dvc", Key=objects[0]["Key"])["ContentLength"] == objects[0]["Size"]
    with pytest.raises(ClientError, match="AccessDenied"):
        store.put_object(Bucket="dvc", Key="new", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        store.list_objects_v2(Bucket="mlflow")


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1", 401),
        ("mlflow", "/api/2.0/mlflow-artifacts/artifacts", 401),
        ("prefect", "/api/flows/count", 401),
        ("s3", "/dvc?list-type=2", 403),
        ("s3", "/mlflow?list-type=2", 403),
    ],
)
def test_nobody_gets_in_without_a_password(team, service, path, status):
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(team.address(service) + path)
    assert refused.value.code == status


def test_the_database_can_be_upgraded_as_the_page_says(team):
    command = "mlflow db upgrade postgresql+psycopg2://captioner@postgres:5432/mlflow"
    assert command in (ROOT / "docs/servers.md").read_text()
    done = team.run("mlflow", *command.split())
    assert done.returncode == 0, done.stderr


def test_no_password_lies_about(team, pushed, clone):
    """Neither in a checkout, a log, what the S3 store holds or the databases, nor in a list of processes."""
    secret = [value.encode() for value in (*PASSWORDS.values(), COLLEAGUE["MLFLOW_TRACKING_PASSWORD"])]
    files = [path for path in team.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    seen = {path.relative_to(team.folder).parts[0] for path in files}
    assert {"author", "worker-checkout", "s3", "mlflow.log", "prefect.log", "worker.log"} <= seen
    assert [path for path in files if any(value in path.read_bytes() for value in secret)] == []
    dump = team.run("postgres", "pg_dumpall", "--host=/tmp", "--port=5432", "--username=captioner")
    assert dump.returncode == 0 and TINY["register"]["name"] in dump.stdout and "train-caption" in dump.stdout
    assert not any(value.decode() in dump.stdout for value in secret)
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("--app-name=basic-auth" in command for command in commands)
    assert not any(value.decode() in command for command in commands for value in secret)


def as_colleague(team: Team, code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Python in an empty home, without the project: -S leaves out the .pth file that brings it. Where the
    tests run as root the colleague is another user, with a Python that this user may run.
    """
    home, user = team.folder / "home-colleague", as_user("nobody")
    home.mkdir(exist_ok=True)
    python = sys.executable
    if user:
        os.chown(home, user["user"], user["group"])
        python = tool(f"python{sys.version_info.major}.{sys.version_info.minor}", "python3", path="/usr/bin")
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "HOME": str(home),
        "MLFLOW_TRACKING_URI": team.address("mlflow"),
        **COLLEAGUE,
    }
    command = [python, "-S", "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, **user)
