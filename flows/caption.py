"""Caption any pictures and clips with a registered (or saved) captioner.

python -m flows.caption docs/example.png
python -m flows.caption photo.jpg folder/ --out captions.jsonl
python -m flows.caption photo.jpg clip.mp4 --model models:/clip-gpt2-captioner/3
python -m flows.caption folder/ --model models/mlp --out captions.jsonl --task-runner ray --workers 4
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from components.config import Params
from components.data.clips import ENDINGS
from components.data.pictures import Problem, load_rgb
from components.errors import UserError
from components.files import atomic_path
from components.program import command_line
from components.registry.versions import ADDRESS, CHAMPION, NothingRegistered, pinned
from components.tracking.store import tracking_uri
from flows.caption_batches import Batch, caption_batch
from flows.parallel import Runner, RunnerName, map_task
from flows.stage import main, stage

BRIDGE = Path("pretrained/captioner/mlp")  # comes with the project; captions before anything is trained
FILES = 256  # of a task, at most: it opens some while it captions others
SHOWN = 10  # files in a message
SYSTEM = {"thumbs.db", "desktop.ini"}
RAW = {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2"}


@stage
def caption(
    paths: list[str],
    model: str | None = None,
    out: str | None = None,
    num_frames: int | None = None,
    bf16: bool = False,
    torch_compile: bool = False,
    task_runner: RunnerName = "threads",
    address: str | None = None,
    workers: int = 1,
    readers: int = 2,
) -> None:
    """Print (or write to `out`, one JSON object a line) a caption for every picture and clip of `paths`,
    folders searched through, in order. What cannot be read costs no other its caption, and is an error at the
    end; files of folders that are neither picture nor clip are left out, and named.

    Args:
        model: models:/NAME@ALIAS, models:/NAME/VERSION or a folder; default: `best_there_is`
        num_frames: of a clip, that the model sees; default: as many as it was trained with
        bf16, torch_compile: see `components.model.for_inference`
        task_runner, address, workers: see `flows.parallel.Runner`
        readers: threads of each worker that open files ahead of the model
    """
    files, left_out = pictures(paths)
    size = min(FILES, -(-len(files) // workers))
    starts = range(0, len(files), size)
    batches = [Batch(n, [f.resolve() for f in files[i : i + size]]) for n, i in enumerate(starts)]
    results = map_task(
        Runner(task_runner, address, workers),
        caption_batch,
        batches,
        [len(batch.files) for batch in batches],
        **(located(model) if model else best_there_is()),
        num_frames=num_frames,
        bf16=bf16,
        torch_compile=torch_compile,
        readers=readers,
    )
    rows = [row for rows in results for row in rows]
    rows = [{"image": str(file)} | row for file, row in zip(files, rows, strict=True)]
    write([row for row in rows if "caption" in row], out)
    tell(rows, left_out)


def tell(rows: list[dict[str, str]], left_out: list[str]) -> None:
    """Name what has no caption: on stderr files of other kinds, as an error those that cannot be read.

    Raises:
        UserError: a picture or clip cannot be read.
    """
    if left_out:
        print(f"Left out: {len(left_out)} files: {listed(left_out)}.", file=sys.stderr)
    if bad := [f"{row['image']} ({row['problem']})" for row in rows if "problem" in row]:
        captioned = f"The other {len(rows) - len(bad)} have their captions."
        raise UserError(f"Cannot be read: {listed(bad)}. {captioned}")


def champion() -> str:
    """Of the registered model that params.yaml names."""
    return f"{ADDRESS}{Params.load().register_.name}@{CHAMPION}"


def best_there_is() -> dict[str, str | None]:
    """The champion, `located`; as long as nothing is registered a bridge of the project, which it says."""
    try:
        return located(champion())
    except NothingRegistered:
        if not BRIDGE.exists():
            raise
        print(f"Nothing is registered yet: captions by {BRIDGE}. `make run` trains one.", file=sys.stderr)
        return located(str(BRIDGE))


def located(model: str) -> dict[str, str | None]:
    """A model as processes elsewhere find it: a folder, or a version and the MLflow store that has it."""
    if not model.startswith(ADDRESS):
        return {"model": str(Path(model).resolve()), "store": None}
    return {"model": pinned(model), "store": tracking_uri()}


def write(rows: list[dict[str, str]], out: str | None) -> None:
    """JSON lines, printed or in a file that appears whole."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if out is None:
        print(lines, end="")
        return
    with atomic_path(out) as path:
        path.write_text(lines, encoding="utf-8")
    print(f"{len(rows)} captions in {out}")


def pictures(paths: Iterable[str]) -> tuple[list[Path], list[str]]:
    """Files as they are; of folders, in order, every file whose name ends as a picture's or clip's does, or
    that has no ending and is a picture. And of these folders the other files that are not hidden, with the
    reason.

    Raises:
        UserError: a path that does not exist, or no picture at all.
    """
    found: list[Path] = []
    left_out: list[str] = []
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder.")
        if path.is_file():
            found.append(path)
            continue
        for file in _files(path):
            if _is_shown(file):
                found.append(file)
            else:
                left_out.append(f"{file} ({_why_not(file)})")
    if not found:
        others = f" Left out: {listed(left_out)}." if left_out else ""
        raise UserError(
            f"{', '.join(map(str, paths))}: no picture found. Known endings: {', '.join(ENDINGS)}.{others}"
        )
    return found, left_out


def _files(folder: Path) -> list[Path]:
    """All files in it and its folders, in order, but what is hidden and what systems leave."""
    inside = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return [
        file
        for file in inside
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.name.lower() not in SYSTEM
    ]


def _is_shown(file: Path) -> bool:
    if file.suffix:
        return file.suffix.lower() in ENDINGS
    try:
        load_rgb(file)
    except Problem:
        return False
    return True


def _why_not(file: Path) -> str:
    ending = file.suffix.lower()
    if ending in RAW:
        return f"{ending}: a camera's raw file; export it as JPEG"
    return f"{ending} is not read" if ending else "no ending, and no picture"


def listed(files: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f"{', '.join(files[:SHOWN])}{more}"


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("paths", nargs="+", metavar="IMAGE_CLIP_OR_FOLDER")
    parser.add_argument(
        "--model",
        help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder; default: the @champion, or if nothing is "
        "registered yet, a bridge that comes with the project",
    )
    parser.add_argument("--num-frames", type=int, help="of a clip; default: as many as in training")
    parser.add_argument("--bf16", action="store_true", help="twice as fast on a GPU or a CPU with AMX")
    parser.add_argument("--torch-compile", action="store_true", help="pays from some thousand pictures on")
    parser.add_argument("--out", help="write JSON lines there instead of printing them")
    parser.add_argument(
        "--task-runner", choices=get_args(RunnerName), default="threads", help="(%(default)s)"
    )
    parser.add_argument("--address", help="of a Dask or Ray cluster that sees this folder; default: one here")
    parser.add_argument("--workers", type=int, default=1, help="threads, or processes (%(default)s)")
    parser.add_argument("--readers", type=int, default=2, help="threads that open files (%(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(caption, **vars(arguments(sys.argv[1:])))
