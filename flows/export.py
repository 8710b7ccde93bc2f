"""A captioner as a folder that needs nothing of this project, for a colleague or the Hugging Face hub.

    python -m flows.export models:/clip-gpt2-captioner@champion captioner
    hf upload OWNER/captioner captioner

In it: bridge and towers in the type that they were trained in, the model's code, tokenizer, image processor,
how captions are decoded; of a registered version the model card (README.md) and the licences of what it was
made of (LICENSE); that of the code (LICENSE.code, NOTICE). `transformers` loads it where this project is not
installed, with `trust_remote_code=True`.
"""

import shutil
from pathlib import Path

from components.code import ROOT
from components.errors import UserError
from components.files import atomic_path
from components.program import command_line, main
from components.registry.card import LICENCES
from components.registry.flavor import CARD
from components.registry.versions import ADDRESS, find_version, load_captioner, open_store, pinned
from components.tracking.faults import friendly

OF_THE_CODE = {"LICENSE": "LICENSE.code", "NOTICE": "NOTICE"}


def export(model: str, folder: str | Path) -> None:
    """Write `model` to `folder`.

    Args:
        model: models:/NAME@ALIAS, models:/NAME/VERSION, or a folder that training wrote.

    Raises:
        UserError: no such model, or something is in `folder` already.
    """
    if Path(folder).exists() and (not Path(folder).is_dir() or any(Path(folder).iterdir())):
        raise UserError(f"{folder}: something is there already. Give a new folder, or remove it.")
    about = {}
    if model.startswith(ADDRESS):
        model = pinned(model)
        about = card_and_licences(model)
    captioner = load_captioner(model)
    with atomic_path(folder) as fresh:
        captioner.save_pretrained(fresh, include_towers=True)
        for name, text in about.items():
            (fresh / name).write_text(text, encoding="utf-8")
        for file, name in OF_THE_CODE.items():
            if (ROOT / file).exists():  # not where this is installed without its repository
                shutil.copyfile(ROOT / file, fresh / name)
    size = sum(file.stat().st_size for file in Path(folder).iterdir())
    print(f"{folder}: {captioner.num_parameters():,} parameters, {size / 1e6:,.0f} MB.")
    if not about:
        print("Without a model card and a licence, which registered versions have: models:/NAME/VERSION.")


def card_and_licences(version: str) -> dict[str, str]:
    """File -> text, of models:/NAME/VERSION."""
    with friendly(f"Reading the card of {version}"):
        import mlflow.artifacts

        licences = find_version(version, open_store()).tags.get(LICENCES, "")
        return {"README.md": mlflow.artifacts.load_text(f"{version}/{CARD}"), "LICENSE": licences}


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("model", metavar="MODEL", help="models:/NAME@ALIAS, models:/NAME/VERSION or a folder")
    parser.add_argument("folder", metavar="FOLDER", help="a new one")
    main(export, **vars(parser.parse_args()))
