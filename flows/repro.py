"""`dvc repro`, with the variants side by side where that is faster.

    python -m flows.repro

DVC runs one stage after the other. The variants need nothing of each other, and without a GPU their matrices
are too small for several cores: two trainings at once take two thirds of the time of one after the other. So
each variant is trained and evaluated by a `dvc repro` of its own, with its share of the cores, and a last one
does the rest.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence

from components.config import Params
from components.errors import UserError

DVC = (sys.executable, "-m", "dvc", "--wait-for-lock", "repro")


def repro() -> int:
    """Bring all stages up to date; the exit code of the `dvc repro` that failed, or 0.

    Raises:
        UserError: params.yaml is missing or wrong.
    """
    variants, cores = Params.load().variants, len(os.sched_getaffinity(0))
    if len(variants) > 1 and cores > 1 and not _has_gpu():
        if code := subprocess.call([*DVC, "features"]):
            return code
        width = min(cores, len(variants))
        for start in range(0, len(variants), width):
            if code := side_by_side(variants[start : start + width], cores // width):
                return code
    return subprocess.call(DVC)


def side_by_side(variants: Sequence[str], threads: int) -> int:
    """Train and evaluate `variants` at once, each with `threads` cores; the first exit code that is not 0."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    processes = [
        # Single items: to look at what lies upstream, each would need it for itself alone.
        subprocess.Popen(
            [*DVC, "--single-item", f"train@{variant}", f"evaluate@{variant}"], env=environment, **piped
        )
        for variant in variants
    ]
    readers = [
        threading.Thread(target=_tell, args=(variant, process))
        for variant, process in zip(variants, processes, strict=True)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    return next((code for process in processes if (code := process.wait())), 0)


def _tell(variant: str, process: subprocess.Popen) -> None:
    """Print the lines of `process` under the name of its variant; of a progress bar only how it ended."""
    for line in process.stdout:
        if text := line.decode(errors="replace").rstrip().rsplit("\r", 1)[-1].strip():
            print(f"{variant}: {text}", flush=True)


def _has_gpu() -> bool:
    import torch  # imports slowly

    return torch.cuda.is_available()


if __name__ == "__main__":
    try:
        sys.exit(repro())
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        sys.exit(f"flows.repro: {error}")
