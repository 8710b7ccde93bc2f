"""Speed and memory of the full-size captioner, against the reference's way of using the same weights.

    python -m benchmarks.model                 # both, in ratios; a few minutes
    python -m benchmarks.model --profile       # and where a training step of ours spends its time
    python -m benchmarks.model --only train    # or decode, or gpu

Weights are random, made from the configurations: nothing is downloaded. Every measurement runs in a process
of its own, so that its peak memory is its own. On a GPU: tokens a second and MFU of the training step in
bfloat16.
"""

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import reference_way
from components.model import CaptionConfig, CaptionModel, can_compile, for_inference
from components.model.bridge import hold_towers_in

BATCH, CAPTION = 8, 14
IMAGES, BEAMS, NEW_TOKENS = 16, 5, 20
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "4090": 165e12}
"""Dense bfloat16 FLOP/s by a part of the card's name, from the vendor's data sheets."""


@dataclass
class Measurement:
    """Seconds of the fastest repetition, peak memory, and matrix-multiply operations of one."""

    seconds: float
    gigabytes: float
    flops: float = 0.0


def build() -> CaptionModel:
    """The full default with open gates, so that all of the work counts."""
    torch.manual_seed(0)
    model = CaptionModel(CaptionConfig())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_gate"):
                parameter.fill_(0.1)
    return model.eval()


def data(model: CaptionModel, count: int) -> tuple[Tensor, Tensor]:
    """Images [count x 1 x 3 x 224 x 224] and captions [count x 16]: BOS, 14 tokens, EOS."""
    vocabulary, end = model.config.text_config.vocab_size, model.config.eos_token_id
    captions = torch.randint(0, vocabulary - 1, (count, CAPTION + 2))
    captions[:, 0] = captions[:, -1] = end
    return torch.randn(count, 1, 3, 224, 224), captions


def fastest(step: Callable[[], object], repetitions: int) -> float:
    """Seconds of the fastest of some repetitions, after one that does not count."""
    step()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times)


def train_reference() -> Measurement:
    """The reference's way: pixels, 260 tokens."""
    model = reference_way.as_in_2022(build()).train()
    optimizer = torch.optim.AdamW(model.bridge_parameters(), lr=1e-4)
    images, captions = data(model, BATCH)
    step = lambda: reference_way.training_step(model, optimizer, images, captions)  # noqa: E731
    return Measurement(fastest(step, 2), _peak())


def train_ours(bf16: bool, compiled: bool = False) -> Measurement:
    """Cached features, captions as long as they are."""
    step = training_step(build(), bf16, compiled)
    seconds, memory = fastest(step, 6), _peak()
    if compiled:  # its operations cannot be counted one by one
        return Measurement(seconds, memory)
    with FlopCounterMode(display=False) as counter:
        step()
    return Measurement(seconds, memory, counter.get_total_flops())


def training_step(
    model: CaptionModel, bf16: bool, compiled: bool = False, device: str = "cpu", batch: int = BATCH
) -> Callable[[], Tensor]:
    """Our training step: a function without arguments, ready to be timed."""
    images, captions = data(model, batch)
    features = torch.cat([model.encode_images(part) for part in images.split(32)]).to(device)
    model.to(device).train()
    captions = captions.to(device)
    optimizer = torch.optim.AdamW(model.bridge_parameters(), lr=1e-4, fused=True)
    if bf16:
        hold_towers_in(model, torch.bfloat16)
    score = torch.compile(model) if compiled else model

    def step() -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = score(vision_features=features, input_ids=captions, labels=captions).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def decode_reference() -> Measurement:
    """The reference's way: one image at a time, no cache. Two images stand for all: they take the same."""
    model = reference_way.as_in_2022(build())
    images, _ = data(model, 2)
    step = lambda: [reference_way.beam_search(model, image[None], BEAMS, NEW_TOKENS) for image in images]  # noqa: E731
    return Measurement(fastest(step, 4) / len(images), _peak())


def decode_ours(bf16: bool, compiled: bool = False) -> Measurement:
    """All images in one batch, with the cache; pixels in, as there. Seconds an image."""
    model = for_inference(build(), bf16, compiled)
    images, _ = data(model, IMAGES)
    arguments = {"num_beams": BEAMS, "max_new_tokens": NEW_TOKENS}  # random weights hardly ever end a caption
    step = lambda: model.generate(pixel_values=images, **arguments)  # noqa: E731
    return Measurement(fastest(step, 4) / IMAGES, _peak())


def _peak() -> float:
    """GB that this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def alone(name: str, *arguments: object) -> Measurement:
    """Run a measurement of this module in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return Measurement(**pool.apply(_measure, (name, arguments, torch.get_num_threads())))


def _measure(name: str, arguments: tuple, threads: int) -> dict:
    torch.set_num_threads(threads)
    return asdict(globals()[name](*arguments))


def matmul_rate() -> float:
    """FLOP/s of a large float32 product here: what no step can exceed without another number format."""
    left, right = torch.randn(2048, 768), torch.randn(768, 3072)
    return 2 * 2048 * 768 * 3072 / fastest(lambda: left @ right, 10)


def report(title: str, unit: str, reference: Measurement, ours: dict[str, Measurement]) -> None:
    """A table of one comparison."""
    print(f"\n{title}\n{'':28}{'s ' + unit:>12}{'ratio':>9}{'peak GB':>10}")
    for name, found in {"the reference's way": reference, **ours}.items():
        ratio = reference.seconds / found.seconds
        print(f"{name:28}{found.seconds:12.3f}{ratio:8.1f}x{found.gigabytes:10.2f}")


def compare_training() -> None:
    """Ratios of the training step, and how far it is from the bound."""
    reference = alone("train_reference")
    ours = {"ours, float32": alone("train_ours", False), "ours, bfloat16": alone("train_ours", True)}
    if can_compile():
        ours["ours, bfloat16, compiled"] = alone("train_ours", True, True)
    report(f"Training step, batch {BATCH}, captions of {CAPTION} tokens", "a step", reference, ours)
    flops = ours["ours, float32"].flops
    bound = flops / matmul_rate()
    print(
        f"float32 matrix products alone ({flops / 1e9:.0f} GFLOP): {bound:.3f} s a step, "
        f"{reference.seconds / bound:.1f}x"
    )


def compare_decoding() -> None:
    """Ratios of beam search."""
    reference = alone("decode_reference")
    ours = {"ours, float32": alone("decode_ours", False), "ours, bfloat16": alone("decode_ours", True)}
    if can_compile():
        ours["ours, bfloat16, compiled"] = alone("decode_ours", True, True)
    report(f"Beam {BEAMS}, {NEW_TOKENS} tokens, {IMAGES} images", "an image", reference, ours)


def profile_step() -> None:
    """Where our training step spends its time."""
    step = training_step(build(), bf16=False)
    step()
    with torch.profiler.profile() as profiler:
        for _ in range(3):
            step()
    print(
        profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=50)
    )


def measure_gpu(batch: int = 256) -> None:
    """Tokens a second and model FLOP utilisation of the training step in bfloat16, eager and compiled."""
    with FlopCounterMode(display=False) as counter:
        training_step(build(), bf16=True, device="cuda", batch=batch)()
    for compiled in (False, True):
        _measure_gpu(batch, compiled, counter.get_total_flops())


def _measure_gpu(batch: int, compiled: bool, flops: int) -> None:
    torch.cuda.reset_peak_memory_stats()
    step = training_step(build(), bf16=True, compiled=compiled, device="cuda", batch=batch)

    def synchronous() -> None:
        step()
        torch.cuda.synchronize()

    seconds, card = fastest(synchronous, 20), torch.cuda.get_device_name()
    peak = next((flops for name, flops in PEAK.items() if name in card), None)
    rate = flops / seconds
    utilisation = f"{rate / peak:.1%} MFU" if peak else "MFU unknown for this card"
    memory = torch.cuda.max_memory_allocated() / 2**30
    how = "compiled" if compiled else "eager"
    print(
        f"\n{card}, batch {batch}, bfloat16, {how}: {batch * (CAPTION + 2) / seconds:,.0f} tokens a second, "
    )
    print(f"{utilisation}, {rate / 1e12:.0f} TFLOP/s, {memory:.1f} GB at most")


def main() -> None:
    """Print what the options ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=("train", "decode", "gpu"))
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "cuda": torch.cuda.is_available(),
            }
        )
    )
    if options.only in (None, "train"):
        compare_training()
    if options.only in (None, "decode"):
        compare_decoding()
    if options.profile:
        profile_step()
    if options.only in (None, "gpu") and torch.cuda.is_available():
        measure_gpu()


if __name__ == "__main__":
    main()
