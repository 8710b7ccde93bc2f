"""Caption any pictures and clips with a registered (or saved) captioner.

python -m flows.caption photo.jpg folder/ --out captions.jsonl
python -m flows.caption photo.jpg --model models:/clip-gpt2-captioner/3
python -m flows.caption photo.jpg clip.mp4 --model models/mlp
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from components.errors import UserError
from components.files import atomic_path
from flows.stage import main, stage

CHAMPION = "models:/clip-gpt2-captioner@champion"
BATCH = 32
CLIPS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"}


@stage
def caption(paths: list[str], model: str = CHAMPION, out: str | None = None, num_frames: int = 8) -> None:
    """Print (or write to `out`, one JSON object a line) a caption for every picture and clip of `paths`,
    folders searched through. Of a clip the model sees `num_frames` frames."""
    files = list(pictures(paths))
    captioner = load(model)
    rows: list[dict[str, str]] = []
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        captions = captioner.caption([open_frames(path, num_frames) for path in batch])
        rows += [{"image": str(path), "caption": text} for path, text in zip(batch, captions, strict=True)]
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
        inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in known) if path.is_dir() else [path]
        found += len(inside)
        yield from inside
    if not found:
        raise UserError(
            f"{', '.join(map(str, paths))}: no picture found. Known endings: {', '.join(sorted(known))}."
        )


def open_frames(path: Path, number: int) -> list[Image.Image]:
    """The one frame of a picture, or `number` frames of a clip, evenly sampled as for training."""
    if path.suffix.lower() not in CLIPS:
        return [open_picture(path)]
    from components.data.pictures import Problem
    from components.data.sources.video import sample_frames

    try:
        return sample_frames(path, number)
    except Problem as problem:
        raise UserError(f"{path}: not a clip that can be read ({problem.detail}).") from None


def open_picture(path: Path) -> Image.Image:
    """RGB, completely decoded, turned as its EXIF data says."""
    from PIL.ImageOps import exif_transpose

    try:
        with Image.open(path) as image:
            return exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a picture that can be read ({error}).") from None


def load(model: str):
    """A captioner from the registry, or from a folder that the train stage wrote."""
    if model.startswith("models:/"):
        from components.tracking.registry import load_captioner

        return load_captioner(model)
    from components.model import CaptionModel

    if not Path(model, "config.json").exists():
        raise UserError(
            f"--model is '{model}': neither models:/NAME@ALIAS, models:/NAME/VERSION nor a model's folder."
        )
    return CaptionModel.from_pretrained(model).eval()


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m flows.caption", description=caption.description)
    parser.add_argument("paths", nargs="+", metavar="IMAGE_CLIP_OR_FOLDER")
    parser.add_argument(
        "--model", default=CHAMPION, help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder (%(default)s)"
    )
    parser.add_argument("--num-frames", type=int, default=8, help="frames of a clip (%(default)s)")
    parser.add_argument("--out", help="write JSON lines there instead of printing them")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(caption, **vars(arguments(sys.argv[1:])))
