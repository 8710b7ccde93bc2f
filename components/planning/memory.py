"""How much memory a training step takes, before it is taken: from what two small batches keep for their
backward pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from components.errors import UserError
from components.training.dataset import Examples
from components.training.trainer import CaptionTrainer

SMALL = (2, 4)
"""Examples of the two batches: the difference between them is what an example takes."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a step of the longest captions.

    Attributes:
        step: all of it: the model, gradients, the optimizer's two moments, activations.
        activations: of them, what depends on the batch.
        pieces: as many as the step must be cut into to have room (`train.gradient_accumulation_steps`).
        whole: `step` with the pieces that params.yaml asks for.
    """

    step: float
    activations: float
    pieces: int
    whole: float


def memory_of_step(trainer: CaptionTrainer, batch_size: int, pieces: int, room: float) -> Memory:
    """The least number of pieces, `pieces` at least, with which a step of `batch_size` fits into `room`.

    Raises:
        UserError: not even one example at a time does.
    """
    fixed, kept, largest = _fixed(trainer), *_kept_by_an_example(trainer)

    def activations(parts: int) -> float:
        return batch_size / parts * (kept + 2 * largest)  # the largest again as gradients, on the way back

    possible = [n for n in range(pieces, batch_size + 1) if batch_size % n == 0]
    fitting = next((n for n in possible if fixed + activations(n) <= room), None)
    if fitting is None:
        raise UserError(
            f"train: a single example takes {(fixed + activations(batch_size)) / 1e9:.2f} GB, and "
            f"{room / 1e9:.2f} GB are free. Take a machine with more memory, or smaller towers."
        )
    return Memory(fixed + activations(fitting), activations(fitting), fitting, fixed + activations(pieces))


def _fixed(trainer: CaptionTrainer) -> float:
    """The model, and for what is learned a gradient and the two moments of its optimizer."""
    model = trainer.model
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    return held + 3 * sum(p.numel() * p.element_size() for p in model.bridge_parameters())


def _kept_by_an_example(trainer: CaptionTrainer) -> tuple[float, float]:
    """Bytes of the tensors that wait for the backward pass, and of the largest of them."""
    few, more = SMALL
    first, second = _kept(trainer, few), _kept(trainer, more)
    return (sum(second) - sum(first)) / (more - few), (max(second) - max(first)) / (more - few)


def _kept(trainer: CaptionTrainer, number: int) -> list[int]:
    """Bytes of each of those tensors, for the `number` longest captions."""
    model, kept = trainer.model, {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    batch = trainer._prepare_inputs(trainer.data_collator(longest(trainer, number)))
    model.train()
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        trainer.compute_loss_context_manager(),
    ):
        loss = trainer.compute_loss(model, batch)
    sizes = [size for place, size in kept.items() if place not in own]
    del loss
    return sizes


def longest(trainer: CaptionTrainer, number: int) -> Examples:
    """The examples with the longest captions."""
    data = trainer.train_dataset
    captions = data.tokens.lengths.argsort(kind="stable")[-number:]
    rows = data.first.searchsorted(captions, side="right") - 1
    return data.__getitems__(list(zip(rows.tolist(), (captions - data.first[rows]).tolist(), strict=True)))
