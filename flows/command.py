"""`captioner`: the project's programs under one name.

Each is a module, and `captioner train mlp` is `python -m flows.train mlp`, run in this process's place.
"""

import os
import sys

from components.program import CALLED_AS

PROGRAMS = {
    "caption": ("flows.caption", "captions of pictures, clips and folders"),
    "demo": ("flows.demo", "a page to play with: two captioners side by side"),
    "serve": ("flows.serve", "a registered captioner as a web service"),
    "run": ("flows.dvc_repro", "the whole pipeline, what has changed of it; --dry-run: what it would cost"),
    "prepare": ("flows.prepare", "stage: read, check and pack the data"),
    "towers": ("flows.towers", "stage: fetch and check CLIP and GPT-2"),
    "features": ("flows.features", "stage: what the vision tower sees in every picture"),
    "train": ("flows.train", "stage: the bridge of one variant"),
    "evaluate": ("flows.evaluate", "stage: scores of one variant on the test split"),
    "report": ("flows.report", "stage: the page to look at"),
    "register": ("flows.register", "stage: versions, and the champion"),
    "compare": ("flows.compare", "is the difference between two runs real?"),
    "export": ("flows.export", "a captioner as a folder that needs nothing of this project; for the hub"),
    "reproduce": ("flows.reproduce", "make a version again, to the last digit"),
    "use-profile": ("flows.use_profile", "lay profiles, or KEY=VALUE, over params.yaml"),
    "prefect-server": ("flows.prefect_server", "Prefect's server and a worker"),
    "summary": ("components.model.summary", "the model as a tree, with its parameters"),
    "convert": ("components.model.convert", "a checkpoint of the reference implementation"),
}
"""Name -> module, and what it is for."""


def usage() -> str:
    """What `captioner --help` prints."""
    width = max(map(len, PROGRAMS))
    lines = [f"  {name:{width}}  {purpose}" for name, (_, purpose) in PROGRAMS.items()]
    return "\n".join(
        [
            "usage: captioner COMMAND ...",
            "",
            *lines,
            "",
            "captioner COMMAND --help tells more. What reads params.yaml is run in the project's root.",
        ]
    )


def main() -> None:
    """The command `captioner`."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in PROGRAMS:
        sys.exit(f"captioner: {name!r} is no command. There are: {', '.join(PROGRAMS)}.")
    module, _ = PROGRAMS[name]
    os.environ[CALLED_AS] = f"captioner {name}"
    os.execv(sys.executable, [sys.executable, "-m", module, *rest])
