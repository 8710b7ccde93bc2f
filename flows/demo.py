"""A page to play with: captions of your own pictures and clips by two captioners side by side, how sure they
are of each word, and where it looked. Nothing leaves this machine, nothing is loaded from elsewhere.

python -m flows.demo                    # @champion and @challenger, or those of pretrained/captioner
python -m flows.demo --model models/mlp --model models:/clip-gpt2-captioner/3 --port 7861
"""

import os
from typing import TYPE_CHECKING

from components.config import Params
from components.data.tables import read_tables
from components.errors import UserError
from components.program import command_line, main
from components.registry.versions import ADDRESS, aliased, load_captioner
from flows.caption import BRIDGE
from flows.paths import FEATURES, PREPARED, TOWERS

if TYPE_CHECKING:
    from components.model import CaptionModel
    from components.report.neighbours import TrainingPictures


def demo(model: list[str] | None = None, host: str = "127.0.0.1", port: int | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        model: what to show, see `load_captioner`; default: see `captioners`.
        host: the address to listen at; 0.0.0.0: whoever reaches this machine can use the page.
        port: default: the first free one from 7860 on.

    Raises:
        UserError: no captioner, the port is taken, or Gradio is missing.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before the import, which asks for it
    try:
        import gradio as gr

        from flows.demo_page import page
    except ModuleNotFoundError:
        raise UserError("The page needs Gradio: pip install -e '.[demo]'.") from None
    from components.report.render import TEMPLATES

    blocks = page(captioners(model or []), training_pictures())
    system, mono = gr.themes.Font("system-ui"), gr.themes.Font("ui-monospace")
    theme = gr.themes.Base(font=[system, "sans-serif"], font_mono=[mono, "monospace"])
    css = (TEMPLATES / "fragments.css").read_text(encoding="utf-8")
    quietly = {"quiet": True, "footer_links": [], "run_history": False, "ssr_mode": False}
    try:
        _, url, _ = blocks.launch(
            prevent_thread_lock=True, server_name=host, server_port=port, theme=theme, css=css, **quietly
        )
    except OSError as error:
        raise UserError(f"The page cannot be served at {host}, port {port or 7860}: {error}") from None
    print(f"Open {url} (Ctrl-C ends it)", flush=True)
    blocks.block_thread()


def captioners(models: list[str]) -> "dict[str, CaptionModel]":
    """Name on the page -> captioner: those asked for, else @champion and @challenger, else, as long as none
    is registered, those that come with the project.

    Raises:
        UserError: none there.
    """
    from components.model import for_inference

    found = {model: model for model in models}
    if not found:
        registered = aliased(Params.load().register_.name)
        for alias, version in registered.items():
            found[f"{alias} (version {version.version})"] = f"{ADDRESS}{version.name}/{version.version}"
    if not found:
        folders = [file.parent for file in sorted(BRIDGE.parent.glob("*/config.json"))]
        found = {folder.name: str(folder) for folder in folders}
    if not found:
        raise UserError(
            f"No model is registered, and none lies in {BRIDGE.parent}. Train one, or give --model."
        )
    return {name: for_inference(load_captioner(model)) for name, model in found.items()}


def training_pictures() -> "TrainingPictures | None":
    """Those of the data set here; None where it or its feature store is missing."""
    needed = (PREPARED / "images.parquet", FEATURES / "index.parquet", TOWERS / "clip/config.json")
    if not all(path.exists() for path in needed):
        return None
    from components.features.encoder import ClipEncoder
    from components.features.store import FeatureStore
    from components.report.neighbours import TrainingPictures

    encoder = ClipEncoder.of(Params.load(), TOWERS / "clip")
    return TrainingPictures(read_tables(PREPARED), FeatureStore(FEATURES), encoder)


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--model", action="append", help="several times: models:/NAME/VERSION or a folder")
    parser.add_argument("--host", default="127.0.0.1", help="to listen at (%(default)s)")
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    main(demo, **vars(parser.parse_args()))
