"""constraints.txt anew: the newest versions that go together today, as pip finds them. `make lock`

Plain pip, since torch's builds (CPU, CUDA) have one version, which other resolvers do not know.
torch stays at the version of constraints.txt: change it there by hand, and run this.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "constraints.txt"
OWN = "clip-gpt2-captioner"


def main() -> None:
    """Write the file."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    torch = re.search(r"^torch==\S+", LOCK.read_text(), re.MULTILINE).group()
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        asked = ["--dry-run", "--ignore-installed", "--quiet", "--report", report.name]
        pip = [sys.executable, "-m", "pip", "install", *asked, torch, f"{ROOT}[{','.join(extras)}]"]
        subprocess.run(pip, check=True)
        chosen = json.loads(Path(report.name).read_text())["install"]
    packages = {item["metadata"]["name"]: item["metadata"]["version"] for item in chosen}
    packages.pop(OWN)
    lines = [f"{name}=={version.partition('+')[0]}" for name, version in packages.items()]
    head = LOCK.read_text().splitlines()[0]
    LOCK.write_text("\n".join([head, *sorted(lines, key=str.lower), ""]))
    print(f"{LOCK.name}: {len(lines)} packages. Now: make run test")


if __name__ == "__main__":
    main()
