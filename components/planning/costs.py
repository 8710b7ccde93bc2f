"""What every stage costs in time, disk and memory: sums over measured rates (`components.planning.rates`).

Nothing is measured here, so that the same sums serve the machine at hand, another one whose rates are known,
and data sets that nobody has yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from components.config import Params
from components.training.arguments import eval_steps, num_train_epochs

BEAMS = 3
"""With which rates are measured: the middle of what `components.training.decoding` tries."""

TRIALS = 0.3 + 2 + 2 * 5 / 3
"""Of decodings, in searches with `BEAMS` beams: greedy, two of three beams, two more of five at most."""

TEST_PASSES = 5 / 3 + 1
"""Of the test pictures in `evaluate`, likewise: a search with at most five beams, and the likelihoods."""

SCORING = 0.5
"""Seconds: CIDEr of some hundred captions."""

ALL_SCORES = (8.0, 100.0)
"""Of the four systems that `evaluate` scores: seconds until METEOR is there, test images a second."""

CHECKPOINTS = 3
"""That lie on the disk at once: the last, the best, and the next one while it is written."""


@dataclass(frozen=True)
class Size:
    """A data set: images by split, captions, frames an image, bytes of a picture's file."""

    train: int
    val: int
    test: int
    captions: int
    picture: float
    frames: float = 1.0

    @property
    def images(self) -> int:
        """Of all splits."""
        return self.train + self.val + self.test


@dataclass(frozen=True)
class Towers:
    """The frozen models: bytes on the disk, and what the vision tower says of a frame [tokens x width]."""

    disk: int
    tokens: int
    width: int


@dataclass(frozen=True)
class VariantRates:
    """Of one variant in its training.

    Attributes:
        step: seconds of an optimizer step with all its pieces.
        validation: pictures a second: their loss, and captions without beams.
        beams: pictures a second with `BEAMS` beams, as validation and test are captioned.
        memory: bytes of host memory that a process holds while it trains.
        gpu: bytes of GPU memory; 0 without one.
        bridge: bytes of the trained parameters.
    """

    step: float
    validation: float
    beams: float
    memory: float
    gpu: float
    bridge: int


@dataclass(frozen=True)
class Rates:
    """Of one machine with certain towers.

    Attributes:
        start: seconds until a stage begins to work: DVC, Python, its imports.
        start_prepare: the same of `prepare`, which imports no torch.
        memory: bytes of a process that has done no more than that.
        read: pairs a second from the source's files into checked tables.
        pair: bytes that `prepare` holds of an image with its captions.
        decode: pictures a second, decoded and hashed by all cores.
        write: bytes a second to the disk, until they are there.
        md5: bytes a second that DVC hashes.
        encode: frames a second, from the file to the features.
        tokenise: captions a second.
    """

    start: float
    start_prepare: float
    memory: float
    read: float
    pair: float
    decode: float
    write: float
    md5: float
    encode: float
    tokenise: float
    variants: dict[str, VariantRates] = field(default_factory=dict)


@dataclass(frozen=True)
class Cost:
    """Of one stage: seconds, bytes that stay on the disk, bytes held at most in host and GPU memory."""

    stage: str
    what: str
    seconds: float
    disk: float = 0.0
    memory: float = 0.0
    gpu: float = 0.0


def feature_bytes(size: Size, towers: Towers, params: Params) -> float:
    """Of the store: float16, a row a frame and view."""
    if not params.features.cache:
        return 0.0
    return feature_rows(size, params) * towers.tokens * towers.width * 2


def feature_rows(size: Size, params: Params) -> float:
    """Frames to encode; augmented views are of training images."""
    return (size.images + (params.features.views - 1) * size.train) * size.frames


def costs(size: Size, towers: Towers, rates: Rates, params: Params, side_by_side: bool = False) -> list[Cost]:
    """A row a stage, in their order.

    Args:
        side_by_side: the variants are trained at once (as `flows.dvc_repro` does without a GPU), and their
            rates are those of that.
    """
    before = [
        _prepare(size, rates, params),
        _towers(size, towers, rates),
        _features(size, towers, rates, params),
    ]
    trained = [_train(name, size, towers, rates, params) for name in rates.variants]
    evaluated = [_evaluate(name, size, towers, rates, params) for name in rates.variants]
    if side_by_side:
        trained, evaluated = [_at_once(trained)], [_at_once(evaluated)]
    bridges = sum(variant.bridge for variant in rates.variants.values())
    models = len(rates.variants) * towers.disk + bridges
    # a version is loaded anew in a process of its own, and captions what it captioned before
    register = Cost(
        "report, register",
        f"{len(rates.variants)} versions",
        (2 + 2 * len(rates.variants)) * rates.start + models / rates.write,
        models,
        rates.memory + 2 * towers.disk,
    )
    return [*before, *trained, *evaluated, register]


def _prepare(size: Size, rates: Rates, params: Params) -> Cost:
    raw = size.images * size.frames * size.picture
    packed = raw if params.data.copy_ else 0.0
    seconds = size.images / rates.read + size.images * size.frames / rates.decode + packed / rates.write
    return Cost(
        "prepare",
        f"{size.images:,} images, {size.captions:,} captions",
        rates.start_prepare + seconds + (raw + packed) / rates.md5,
        packed,
        rates.memory + size.images * rates.pair,
    )


def _towers(size: Size, towers: Towers, rates: Rates) -> Cost:
    seconds = rates.start + size.val * size.frames / rates.encode + towers.disk / rates.write
    return Cost("towers", "copied and checked", seconds, towers.disk, rates.memory + 2 * towers.disk)


def _features(size: Size, towers: Towers, rates: Rates, params: Params) -> Cost:
    if not params.features.cache:
        return Cost("features", "not kept: features.cache is false", rates.start)
    rows, stored = feature_rows(size, params), feature_bytes(size, towers, params)
    seconds = rates.start + rows / rates.encode + stored / rates.write + 2 * stored / rates.md5
    shard = 2 * 2048 * towers.tokens * towers.width * 4  # its batches, and the same in one piece
    return Cost(
        "features",
        f"{rows:,.0f} x {towers.tokens} x {towers.width} float16",
        seconds,
        stored,
        rates.memory + towers.disk + shard,
    )


def steps_of(size: Size, params: Params) -> int:
    """Optimizer steps of a training."""
    return round(num_train_epochs(params.train, size.train) * ceil(size.train / params.train.batch_size))


def _train(name: str, size: Size, towers: Towers, rates: Rates, params: Params) -> Cost:
    settings, variant, steps = params.train, rates.variants[name], steps_of(size, params)
    validations = steps // eval_steps(settings, size.train)
    pictures = min(settings.validation_images, size.val)
    seconds = rates.start + size.captions / rates.tokenise + steps * variant.step
    if not params.features.cache:
        seconds += steps * settings.batch_size * size.frames / rates.encode
    seconds += validations * (pictures / variant.validation + SCORING)
    seconds += TRIALS * (pictures / variant.beams + SCORING)
    disk = variant.bridge * (1 + 3 * CHECKPOINTS)  # with the two moments of its optimizer
    what = f"{steps:,} steps of {settings.batch_size}, {validations} validations"
    return Cost(f"train {name}", what, seconds, disk, variant.memory, variant.gpu)


def _evaluate(name: str, size: Size, towers: Towers, rates: Rates, params: Params) -> Cost:
    begin, scored = ALL_SCORES
    seconds = rates.start + TEST_PASSES * size.test / rates.variants[name].beams + begin + size.test / scored
    if not params.features.cache:  # the nearest neighbour is one of all training images
        seconds += (size.train + 3 * size.test) * size.frames / rates.encode
    return Cost(
        f"evaluate {name}", f"{size.test:,} test images", seconds, 0.0, rates.memory + 3 * towers.disk
    )


def _at_once(rows: Sequence[Cost]) -> Cost:
    """Trained side by side: as long as the longest, as large as all together."""
    stage = rows[0].stage.split()[0]
    names = ", ".join(row.stage.removeprefix(f"{stage} ") for row in rows)
    return Cost(
        f"{stage} {names}",
        f"{rows[0].what}, at once" if len(rows) > 1 else rows[0].what,
        max(row.seconds for row in rows),
        sum(row.disk for row in rows),
        sum(row.memory for row in rows),
    )
