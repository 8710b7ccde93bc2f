"""A captioner made ready to write captions, many of them."""

import shutil

import torch

from components.errors import UserError
from components.model.captioner import CaptionModel


def for_inference(model: CaptionModel, bf16: bool = False, torch_compile: bool = False) -> CaptionModel:
    """`model` itself, in eval mode, on the GPU if there is one.

    Args:
        bf16: hold its weights in bfloat16: half the memory, and where the hardware multiplies it (a GPU since
            Ampere, a CPU with AMX) about twice the speed. A few captions come out differently.
        torch_compile: compile decoder and head, with the weights packed for this processor ("freezing"). The
            first captions wait a minute for it: it pays from some thousand pictures on. After them, changes
            of the weights are not seen.

    Raises:
        UserError: on a CPU, no C++ compiler for `torch_compile`.
    """
    model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    if bf16:
        model = model.to(torch.bfloat16)
    if torch_compile:
        require_compiler()
        from torch._inductor import config as inductor  # imports slowly

        inductor.freezing = True  # for all that is compiled without gradients from here on
        lm = model.text_generator.lm
        for part in (lm.transformer, lm.lm_head):  # the beam search between them stays as transformers has it
            part.compile(dynamic=True)
    return model


def can_compile() -> bool:
    """Whether torch.compile can work here: for a CPU it writes C++, which has to be compiled."""
    return torch.cuda.is_available() or any(map(shutil.which, ("g++", "clang++")))


def require_compiler() -> None:
    """Raises:
    UserError: torch.compile cannot work here.
    """
    if not can_compile():
        raise UserError("torch_compile needs a C++ compiler on a CPU: install g++, or set it to false.")
