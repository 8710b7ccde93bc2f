"""The page of `flows.demo`: what it consists of, and what happens when. It alone imports Gradio at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from components.data.pictures import Problem
from components.errors import UserError
from components.model import CaptionModel
from components.report import fragments
from components.report.answers import Answer, Asked, ask, to_json
from components.report.neighbours import TrainingPictures
from flows.caption import listed
from flows.caption_batches import open_frames

KEPT = 3600  # seconds that what was given stays on the disk
WIDTH = 300  # of a column, at least: a phone shows one below the other

# A click on one of the buttons in a part of the page is told to Python, and shows.
CHOOSE = """
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-choice]');
  if (!button) return;
  element.querySelectorAll('button').forEach(each => each.setAttribute('aria-pressed', each === button));
  trigger('select', {choice: Number(button.dataset.choice)});
});
"""


def page(models: Mapping[str, CaptionModel], training: TrainingPictures | None) -> gr.Blocks:
    """Captioners side by side; without `training`, nothing is said of training pictures."""
    with gr.Blocks(title="Captions", analytics_enabled=False, delete_cache=(KEPT, KEPT)) as blocks:
        given, asked, chosen = gr.State([]), gr.State([]), gr.State(0)
        gr.HTML("<h1>What do the captioners say?</h1>")
        with gr.Row():
            with gr.Column(scale=2, min_width=WIDTH):
                _sources(given)
                settings = _settings()
            with gr.Column(scale=5, min_width=WIDTH):
                problem, pictures = gr.HTML(), gr.HTML(js_on_load=CHOOSE)
                with gr.Row():
                    columns = [_column(who, asked, chosen) for who in models]
                neighbours = gr.HTML(visible=training is not None)
                with gr.Accordion("As JSON", open=False, visible=False) as written:
                    json = gr.JSON(show_label=False, buttons=["copy"])

        def answer(paths: list[str], *values: Any, progress=gr.Progress()) -> tuple:  # noqa: B008
            found, bad = answers(models, progress.tqdm(paths, desc="Captioning"), *values)
            told = f"Cannot be captioned: {listed(bad)}." if bad else ""
            shown = fragments.problem(told), fragments.pictures(found, 0)
            return found, 0, *shown, to_json(found), gr.update(visible=bool(found))

        def show(asked: list[Asked], chosen: int) -> list[str]:
            if not asked:
                return [""] * (2 * len(models) + 1)
            said = asked[chosen].answers
            parts = [part for who in models for part in (fragments.caption(who, said[who]), "")]
            frames = next(iter(said.values())).frames
            return [*parts, fragments.neighbours(training.nearest(frames)) if training else ""]

        shown = [part for column in columns for part in column] + [neighbours]
        changes = [given.change, *(control.change for control in settings)]
        answered = gr.on(
            changes,
            answer,
            [given, *settings],
            [asked, chosen, problem, pictures, json, written],
            trigger_mode="always_last",
            show_progress_on=pictures,
        )
        for event in (answered.then, pictures.select(_choice, None, chosen).then):
            event(show, [asked, chosen], shown)
    return blocks


def answers(
    models: Mapping[str, CaptionModel],
    paths: list[str],
    own: bool,
    beams: int,
    length_penalty: float,
    tokens: int,
    frames: int,
) -> tuple[list[Asked], list[str]]:
    """What each captioner says of each file; and the files that have no caption, with the reason.

    Args:
        own: with its own decoding and number of frames, as chosen for it; else with those that follow.
    """
    decoding: dict[str, float] = {"num_beams": beams, "max_new_tokens": tokens}
    if beams > 1:  # greedy search has no use for it
        decoding["length_penalty"] = length_penalty
    found, bad = [], []

    def says(model: CaptionModel, path: Path) -> Answer:
        seen = open_frames(path, model.config.num_frames if own else frames)
        return ask(model, seen, **({} if own else decoding))

    for path in map(Path, paths):
        try:
            found.append(Asked(path.name, {who: says(model, path) for who, model in models.items()}))
        except Problem as problem:
            bad.append(f"{path.name} ({problem.detail})")
        except UserError as error:
            bad.append(f"{path.name} ({error})")
    return found, bad


def _sources(given: gr.State) -> None:
    """Files, a folder or the camera; what is given replaces what was."""
    with gr.Tab("Files"):
        files = gr.File(label="Pictures and clips", file_count="multiple", height=160)
    with gr.Tab("Folder"):
        folder = gr.File(label="A folder", file_count="directory", height=160)
    with gr.Tab("Camera"):
        camera = gr.Image(label="Camera", sources=["webcam"], type="filepath")
    for source in (files, folder):
        source.change(_by_name, source, given, show_progress="hidden")
    camera.change(lambda path: [path] if path else [], camera, given, show_progress="hidden")


def _by_name(paths: list[str] | None) -> list[str]:
    """A browser gives a folder's files in any order."""
    return sorted(paths or [], key=lambda path: Path(path).name)


def _settings() -> list[gr.components.Component]:
    """How captions are decoded, in the order of the arguments of `answers`."""
    with gr.Accordion("Decoding", open=False):
        own = gr.Checkbox(True, label="As chosen on validation for each captioner")
        sliders = [
            gr.Slider(1, 8, 1, step=1, label="Beams", interactive=False),
            gr.Slider(-2, 2, 1, step=0.1, label="Length penalty", interactive=False),
            gr.Slider(1, 64, 32, step=1, label="Tokens, at most", interactive=False),
            gr.Slider(1, 8, 1, step=1, label="Frames of a clip", interactive=False),
        ]
    own.change(lambda own: [gr.update(interactive=not own)] * len(sliders), own, sliders)
    return [own, *sliders]


def _column(who: str, asked: gr.State, chosen: gr.State) -> tuple[gr.HTML, gr.HTML]:
    """What a captioner says, and where the word looked that is clicked there."""
    with gr.Column(min_width=WIDTH):
        said, looked = gr.HTML(js_on_load=CHOOSE), gr.HTML()

    def look(asked: list[Asked], chosen: int, event: gr.EventData) -> str:
        return fragments.looked(asked[chosen].answers[who], event.choice)

    said.select(look, [asked, chosen], looked)
    return said, looked


def _choice(event: gr.EventData) -> int:
    return event.choice
