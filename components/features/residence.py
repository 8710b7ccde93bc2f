"""Where features lie while a bridge is trained (`features.resident`): in GPU memory where they fit, else in
host memory, else on disk. It changes no number, only how fast a batch is there.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import torch

from components.errors import UserError

Place = Literal["gpu", "host", "disk", "live"]
NAMES = {"gpu": "in GPU memory", "host": "in host memory", "disk": "on disk"}

SHARE = 0.5
"""Of the free memory: the rest is for the model, what it computes, and everybody else."""

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Residence:
    """Where batches come from, and why; `live`: from the vision tower."""

    place: Place
    reason: str

    def __str__(self) -> str:
        return self.reason


def choose_residence(asked: Literal["auto", "gpu", "host", "disk"], size: int) -> Residence:
    """The place of features of `size` bytes: the one that is `asked` for, or the fastest with room for them.

    Raises:
        UserError: they do not fit where they are asked to be.
    """
    free: dict[Place, int] = {"gpu": free_gpu_memory(), "host": free_host_memory()}
    if asked == "auto":
        place: Place = next((place for place in free if size <= SHARE * free[place]), "disk")
        told = " and ".join(f"{_gb(room)} {NAMES[name]}" for name, room in free.items())
        reason = f"{_gb(size)} {NAMES[place]}: {told} are free, of which they may take half"
        return Residence(place, reason)
    if size > free.get(asked, size):
        raise UserError(
            f"features.resident is {asked}: {_gb(size)} do not fit into the {_gb(free[asked])} that are free "
            f"{NAMES[asked]}. Set it to auto."
        )
    return Residence(asked, f"{_gb(size)} {NAMES[asked]}, as features.resident says")


def free_gpu_memory() -> int:
    """Bytes of this process's GPU; 0 without one."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else 0


def free_host_memory() -> int:
    """Bytes for this process: an equal share among those that train here, within a container's limit."""
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit: "max"
        limit, used = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        free = min(free, max(0, limit - used))
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"
