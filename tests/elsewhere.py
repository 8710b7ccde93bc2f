"""A fresh process that cannot import this project: what somebody has who was given an export."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HIDDEN = """
import json, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("components", "flows"):
            raise ImportError(name + " is hidden")

sys.meta_path.insert(0, Hidden())
import transformers
transformers.logging.set_verbosity_error()
folder, pictures = sys.argv[1], sys.argv[2:]
trusted = {"trust_remote_code": True}

def piped(folder, pictures, **kwargs):
    pipe = transformers.pipeline("image-text-to-text", model=folder, **trusted)
    return [[caption["generated_text"] for caption in answer] for answer in pipe(pictures, **kwargs)]

"""


def elsewhere(program: str, folder: Path, pictures: Sequence[Path], home: Path) -> Any:
    """What `program` leaves in `answer`; it knows `folder`, `pictures`, `trusted` and `piped`.

    Args:
        home: an empty folder, where it runs and keeps the code that it trusts.
    """
    known = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "HF_"))}
    settings = known | {"HF_HOME": str(home / "cache"), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-I", "-c", f"{HIDDEN}{program}\nprint(json.dumps(answer))", str(folder)]
    command += map(str, pictures)
    done = subprocess.run(
        command, cwd=home, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
