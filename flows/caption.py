"""Caption any pictures and clips with a registered (or saved) captioner.

python -m flows.caption photo.jpg folder/ --out captions.jsonl
python -m flows.caption photo.jpg clip.mp4 --model models:/clip-gpt2-captioner/3
python -m flows.caption folder/ --model models/mlp --out captions.jsonl --task-runner ray --workers 4
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

from PIL import Image

from components.config import Params
from components.errors import UserError
from components.files import atomic_path
from components.program import command_line
from components.registry.versions import ADDRESS, CHAMPION, pinned
from components.tracking.store import tracking_uri
from flows.caption_batches import CLIPS, Batch, caption_batch
from flows.parallel import Runner, RunnerName, map_task
from flows.stage import main, stage

BATCH = 32
SHOWN = 10  # files in a message


@stage
def caption(
    paths: list[str],
    model: str | None = None,
    out: str | None = None,
    num_frames: int = 8,
    bf16: bool = False,
    torch_compile: bool = False,
    task_runner: RunnerName = "threads",
    address: str | None = None,
    workers: int = 1,
) -> None:
    """Print (or write to `out`, one JSON object a line) a caption for every picture and clip of `paths`,
    folders searched through, in order. What cannot be read is left out, and named at the end.

    Args:
        model: models:/NAME@ALIAS, models:/NAME/VERSION or a folder; default: the champion of `register.name`
        num_frames: of a clip, that the model sees
        bf16, torch_compile: see `components.model.for_inference`
        task_runner, address, workers: see `flows.parallel.Runner`
    """
    files = list(pictures(paths))
    starts = range(0, len(files), BATCH)
    batches = [Batch(n, [f.resolve() for f in files[i : i + BATCH]]) for n, i in enumerate(starts)]
    results = map_task(
        Runner(task_runner, address, workers),
        caption_batch,
        batches,
        [len(batch.files) for batch in batches],
        **located(model or champion()),
        num_frames=num_frames,
        bf16=bf16,
        torch_compile=torch_compile,
    )
    rows = [row for rows in results for row in rows]
    rows = [{"image": str(file)} | row for file, row in zip(files, rows, strict=True)]
    captioned = [row for row in rows if "caption" in row]
    write(captioned, out)
    if bad := [f"{row['image']} ({row['problem']})" for row in rows if "problem" in row]:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise UserError(
            f"Cannot be read: {', '.join(bad[:SHOWN])}{more}. The other {len(captioned)} have their captions."
        )


def champion() -> str:
    """Of the registered model that params.yaml names."""
    return f"{ADDRESS}{Params.load().register_.name}@{CHAMPION}"


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


def pictures(paths: Iterable[str]) -> Iterator[Path]:
    """Files as they are; of folders, every file whose name ends as a picture's or clip's does, in order.

    Raises:
        UserError: a path that does not exist, or no picture at all.
    """
    known, found = CLIPS.union(Image.registered_extensions()), 0
    for path in map(Path, paths):
        if not path.exists():
            raise UserError(f"{path}: no such file or folder.")
        inside = sorted(p for p in path.rglob("[!.]*") if p.suffix.lower() in known)
        found += len(inside) or path.is_file()
        yield from inside if path.is_dir() else [path]
    if not found:
        raise UserError(
            f"{', '.join(map(str, paths))}: no picture found. Known endings: {', '.join(sorted(known))}."
        )


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("paths", nargs="+", metavar="IMAGE_CLIP_OR_FOLDER")
    parser.add_argument(
        "--model", help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder; default: the @champion"
    )
    parser.add_argument("--num-frames", type=int, default=8, help="frames of a clip (%(default)s)")
    parser.add_argument("--bf16", action="store_true", help="twice as fast on a GPU or a CPU with AMX")
    parser.add_argument("--torch-compile", action="store_true", help="pays from some thousand pictures on")
    parser.add_argument("--out", help="write JSON lines there instead of printing them")
    parser.add_argument(
        "--task-runner", choices=get_args(RunnerName), default="threads", help="(%(default)s)"
    )
    parser.add_argument("--address", help="of a Dask or Ray cluster that sees this folder; default: one here")
    parser.add_argument("--workers", type=int, default=1, help="threads, or processes (%(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(caption, **vars(arguments(sys.argv[1:])))
