"""Clips from a folder of videos to a registered captioner and its captions: every frame counts."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from components.data.display import mosaic
from components.data.pictures import Problem
from components.errors import UserError
from flows.caption import pictures, tell
from flows.caption_batches import open_frames
from flows.evaluate import evaluate
from flows.features import features
from flows.prepare import prepare
from flows.register import register
from flows.report import report
from flows.towers import towers
from flows.train import train, train_here
from tests.parameters import TINY, merged
from tests.tracking_fixtures import enter_project

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 220), "white": (240, 240, 240)}
WAYS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SIZES = {"tiny": 6, "small": 10, "large": 16, "huge": 22}


def write_clip(file: Path, frames: list[np.ndarray]) -> None:
    av = pytest.importorskip("av")
    with av.open(str(file), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path):
    """A picture, a clip of 20 frames that brighten, and one that is no clip."""
    Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    write_clip(tmp_path / "b.MP4", [np.full((48, 64, 3), 10 * n, np.uint8) for n in range(20)])
    (tmp_path / "c.webm").write_bytes(b"no clip")
    return tmp_path


def test_folders_are_searched_for_pictures_and_clips(folder):
    (folder / "._a.png").write_bytes(b"what a Mac leaves on foreign disks")
    found, left_out = pictures([str(folder)])
    assert [path.name for path in found] == ["a.png", "b.MP4", "c.webm"] and not left_out


def test_what_a_folder_search_leaves_out_is_named(folder):
    (folder / "a.png").rename(folder / "IMG_0001")
    for name in ("IMG_0002", "IMG_0003.dng", "notes.txt", "Thumbs.db", ".hidden"):
        (folder / name).write_bytes(b"no picture")
    (folder / ".git").mkdir()
    (folder / ".git" / "a.jpg").write_bytes(b"")
    found, left_out = pictures([str(folder)])
    assert [path.name for path in found] == ["IMG_0001", "b.MP4", "c.webm"]
    assert left_out == [
        f"{folder}/IMG_0002 (no ending, and no picture)",
        f"{folder}/IMG_0003.dng (.dng: a camera's raw file; export it as JPEG)",
        f"{folder}/notes.txt (.txt is not read)",
    ]
    with pytest.raises(UserError, match=r"no picture found.*notes.txt \(.txt is not read\)"):
        (folder / "only").mkdir()
        (folder / "notes.txt").rename(folder / "only" / "notes.txt")
        pictures([str(folder / "only")])


def test_files_of_other_kinds_are_named_and_those_that_cannot_be_read_are_an_error(capsys):
    rows = [{"image": "in/a.png", "caption": "a dog"}, {"image": "in/b.png", "problem": "truncated"}]
    tell(rows[:1], ["in/c.txt (.txt is not read)"])
    assert capsys.readouterr().err == "Left out: 1 files: in/c.txt (.txt is not read).\n"
    with pytest.raises(UserError, match=r"in/b.png \(truncated\). The other 1 have their captions"):
        tell(rows, ["in/c.txt (.txt is not read)"])
    assert "in/c.txt" in capsys.readouterr().err
    with pytest.raises(UserError, match="The other 0 have their captions"):
        tell(rows[1:], [])


def test_a_clip_is_seen_in_frames_from_beginning_to_end(folder):
    frames = open_frames(folder / "b.MP4", 4)
    brightness = [np.asarray(frame).mean() for frame in frames]
    assert np.allclose(brightness, [20, 70, 120, 170], atol=12)
    assert len(open_frames(folder / "a.png", 4)) == 1


def test_a_clip_that_cannot_be_read_is_a_problem(folder):
    with pytest.raises(Problem, match="image-unreadable"):
        open_frames(folder / "c.webm", 4)


def test_a_clip_is_shown_by_four_of_its_frames():
    frames = [Image.new("RGB", (8, 6), (number, 0, 0)) for number in range(8)]
    shown = mosaic(frames)
    assert shown.size == (16, 12)
    assert [shown.getpixel(at)[0] for at in ((1, 1), (9, 1), (1, 7), (9, 7))] == [1, 3, 5, 7]
    assert mosaic(frames[:1]) is frames[0] and mosaic(frames[:2]).size == (16, 6)


@pytest.fixture
def project(tmp_path, monkeypatch, pretrained):
    """64 clips of two to five frames in which a square moves; the current folder."""
    enter_project(tmp_path / "project", monkeypatch)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    Path("pretrained").symlink_to(pretrained)
    Path("raw/clips").mkdir(parents=True)
    rows = []
    for number, (colour, way, size) in enumerate(itertools.product(COLOURS, WAYS, SIZES)):
        dx, dy = (3 * step for step in WAYS[way])
        frames = []
        for time in range(2 + number % 4):
            picture = Image.new("RGB", (48, 48), (120, 120, 120))
            x, y, side = 14 + dx * time, 14 + dy * time, SIZES[size]
            picture.paste(COLOURS[colour], (x, y, x + side, y + side))
            frames.append(np.asarray(picture))
        write_clip(Path(f"raw/clips/{number}.mp4"), frames)
        texts = [f"a {size} {colour} square moves {way}", f"{colour} goes {way}, and it is {size}"]
        rows.append({"video": f"{number}.mp4", "captions": json.dumps(texts)})
    pd.DataFrame(rows).to_csv("raw/clips.csv", index=False)
    data = {"source": "video", "annotations": "clips.csv", "images": "clips", "num_frames": 3}
    changes = {
        "data": data | {"val_share": 0.2, "test_share": 0.2},
        "model": {"resampler": {"num_time_embeds": 3}},
        "train": {"epochs": 2, "validations": 1},
        "variants": ["mlp"],
    }
    Path("params.yaml").write_text(yaml.safe_dump(merged(TINY, changes)))


@pytest.mark.slow
def test_clips_go_through_every_stage(project):
    from flows.caption import caption

    prepare()
    towers()
    features()
    train("mlp")
    evaluate("mlp")
    report()
    register()
    assert pd.read_parquet("data/prepared/images.parquet")["num_frames"].max() == 3
    shards = Path("data/features").glob("shard*.npy")
    assert sum(np.load(path, mmap_mode="r").shape[0] for path in shards) > 64
    # Loaded back in a fresh process, the model gave the captions that were scored, from all frames.
    (version,) = json.loads(Path("reports/registry.json").read_text()).values()
    assert "reloaded" not in version["reason"] and "does not load" not in version["reason"], version
    assert json.loads(Path("models/mlp/config.json").read_text())["num_frames"] == 3
    caption.run(paths=["raw/clips/7.mp4"], model="models/mlp", out="x.jsonl")
    assert json.loads(Path("x.jsonl").read_text())["image"] == "raw/clips/7.mp4"
    assert "data:image" in Path("reports/index.html").read_text()


def test_more_frames_than_time_embeddings_are_refused_before_anything_is_encoded(tmp_path, monkeypatch):
    """`auto` finds clips in `prepare`, when the configuration has been accepted."""
    enter_project(tmp_path, monkeypatch)
    data = {"source": "auto", "num_frames": 3, "severity": {"split-too-small": "report"}}
    Path("params.yaml").write_text(yaml.safe_dump(merged(TINY, {"data": data})))
    Path("raw").mkdir()
    for number in range(12):
        frames = [np.full((32, 32, 3), 20 * number + n, np.uint8) for n in range(4)]
        write_clip(Path(f"raw/{number}.mp4"), frames)
    rows = [f"{number}.mp4,clip {number},{('train', 'val', 'test')[number % 3]}\n" for number in range(12)]
    Path("raw/captions.csv").write_text("video,caption,split\n" + "".join(rows))
    prepare()
    for stage in (features, lambda: train_here("mlp")):
        with pytest.raises(UserError, match="clips of 3 frames .*num_time_embeds is only 2"):
            stage()
