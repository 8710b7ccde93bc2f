"""How long to train and how often to validate, where params.yaml leaves it to the data (null)."""

from math import ceil

from components.config import TrainParams

STEPS = 2000
"""Optimizer steps by which a bridge writes what its towers see: fewer leave its gates nearly closed and its
captions empty or all the same, however few pictures there are."""

EPOCHS = (3, 100)
"""Bounds: of many pictures each is still seen a few times, and a handful of them is not learned by heart."""

STEPS_BETWEEN_VALIDATIONS = 200


def num_train_epochs(settings: TrainParams, num_examples: int) -> float:
    """`train.epochs`, or as many as make `STEPS` steps, within `EPOCHS`."""
    if settings.epochs is not None:
        return settings.epochs
    fewest, most = EPOCHS
    return max(fewest, min(most, STEPS / ceil(num_examples / settings.batch_size)))


def eval_steps(settings: TrainParams, num_examples: int) -> int:
    """Steps from one validation to the next: `train.validations` in the whole training, or one every
    `STEPS_BETWEEN_VALIDATIONS`, but four at least."""
    steps = ceil(num_examples / settings.batch_size) * num_train_epochs(settings, num_examples)
    if settings.validations is None:
        return max(1, min(STEPS_BETWEEN_VALIDATIONS, int(steps / 4)))
    return max(1, int(steps / settings.validations))
