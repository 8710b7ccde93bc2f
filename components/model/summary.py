"""The tree of the captioner with its parameter counts.

    python -m components.model.summary                          # what params.yaml describes, the full default
    python -m components.model.summary --variant transformer    # another variant of both

Nothing is downloaded and no memory is taken: the models are built from their configurations on the meta
device.
"""

from pathlib import Path

import torch
from torch import nn
from torchinfo import ModelStatistics
from torchinfo import summary as torchinfo_summary
from transformers import CLIPVisionConfig, GPT2Config

from components.config import Params
from components.model.captioner import CaptionModel
from components.model.configuration import CaptionConfig, bridge_fields
from components.model.towers import tower_config, vision_config_of
from components.program import command_line
from components.program import main as run_program
from components.variants import VARIANTS

FULL_SIZE = {"openai/clip-vit-base-patch32": CLIPVisionConfig, "gpt2": GPT2Config}
"""Names on the hub whose configurations are the defaults of transformers: no need to ask the hub."""


def summarize(config: CaptionConfig) -> ModelStatistics:
    """The tree, three levels deep, as the system's description prints it; `str()` of it is the text.

    Two things are made as they were in that description: the whole is called VisualTextModel, and the vision
    tower shows the level that transformers 5 removed (CLIPVisionTransformer inside CLIPVisionModel). The head
    is tied to the embeddings and not counted twice.
    """
    with torch.device("meta"):
        model = CaptionModel(config)
    total, trainable = model.num_parameters(), model.num_parameters(only_trainable=True)
    shell = type(type(model.vision_encoder.vision).__name__, (nn.Module,), {})()
    shell.vision_model = model.vision_encoder.vision
    model.vision_encoder.vision = shell
    tree = torchinfo_summary(model, depth=3, col_names=("num_params",), row_settings=("depth",), verbose=0)
    for layer in tree.summary_list:
        if layer.depth == 0:
            layer.class_name = "VisualTextModel"
        elif layer.var_name == "vision_model":
            layer.class_name = layer.class_name.replace("VisionModel", "VisionTransformer")
    visible = [layer for layer in tree.summary_list if not _inside_vision(layer)]
    tree.summary_list, tree.total_params, tree.trainable_params = visible, total, trainable
    return tree


def _inside_vision(layer) -> bool:
    return layer.parent_info is not None and (
        layer.parent_info.var_name == "vision_model" or _inside_vision(layer.parent_info)
    )


def config_of(params: Params, variant: str, towers: str | Path = "data/towers") -> CaptionConfig:
    """The captioner that `params` describes, on the towers in the folder `towers` if there are any."""
    clip, gpt2 = params.towers.clip, params.towers.gpt2
    fetched = [Path(towers, name) for name in ("clip", "gpt2")]
    if all(folder.is_dir() for folder in fetched):
        clip, gpt2 = map(str, fetched)
    vision = FULL_SIZE[clip]() if clip in FULL_SIZE else vision_config_of(clip)
    text = FULL_SIZE[gpt2]() if gpt2 in FULL_SIZE else tower_config(gpt2)
    fields = bridge_fields(params.model.model_dump(), *VARIANTS[variant])
    return CaptionConfig(vision_config=vision, text_config=text, **fields)


def main() -> None:
    """Print both trees."""
    parser = command_line(__doc__)
    parser.add_argument("--params", default="params.yaml")
    parser.add_argument("--variant", choices=VARIANTS, help="default: the first of params.yaml")
    options = parser.parse_args()
    params = Params.load(options.params)
    variant = options.variant or params.variants[0]
    print(f"{options.params}, variant {variant}:\n{summarize(config_of(params, variant))}\n")
    mapper, resampler = VARIANTS[variant]
    full = CaptionConfig(mapper=mapper, resampler=resampler)
    print(f"Full-size default, variant {variant}:\n{summarize(full)}")


if __name__ == "__main__":
    run_program(main)
