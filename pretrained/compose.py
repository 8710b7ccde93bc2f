"""Pictures from `pretrained.world` as tensors, a whole batch at a time, on whatever device."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from components.data.grounds import CONTRAST, FRAME, PERIOD
from pretrained.world import GROUND_PATTERN, GROUND_RGB

IGNORED = -100


class Composer:
    """Sprites on grounds: [B x 3 x size x size] in [-1, 1], and which thing each patch shows.

    Args:
        file: sprites.npz
        size, patch: of picture and patch, pixels
        things: how many there are; a patch of bare ground g is labelled things + g, white things + grounds
    """

    def __init__(self, file: Path, size: int, patch: int, things: int, device: str, seed: int = 0):
        sprites = torch.from_numpy(np.load(file)["sprites"]).permute(0, 3, 1, 2).contiguous()
        self.sprites = sprites.to(device)
        self.size, self.patch, self.things, self.device = size, patch, things, device
        self.rgb = torch.from_numpy(GROUND_RGB).to(device)
        self.pattern = torch.from_numpy(GROUND_PATTERN).to(device)
        self.generator = torch.Generator(device).manual_seed(seed)
        ys, xs = torch.meshgrid(*[(torch.arange(size, device=device) + 0.5) / size] * 2, indexing="ij")
        self.xs, self.ys = xs, ys

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Random numbers of this composer's own generator."""
        return torch.empty(shape, device=self.device).uniform_(low, high, generator=self.generator)

    @torch.no_grad()
    def __call__(self, batch: dict[str, np.ndarray], augment: bool = True) -> tuple[Tensor, Tensor]:
        """Arrays of `world.arrays` -> pixels [B x 3 x size x size], labels [B x patches]."""
        given = {name: torch.from_numpy(value).to(self.device) for name, value in batch.items()}
        picture = self._grounds(given["ground"])
        layers = self._layers(given, augment)  # [B x K x 4 x size x size], colours times alpha
        seen = torch.zeros(*layers.shape[:2], self.size, self.size, device=self.device)
        for k in range(layers.shape[1]):
            alpha = layers[:, k, 3:]
            picture = layers[:, k, :3] + picture * (1 - alpha)
            seen = seen * (1 - alpha)  # what stands behind is hidden
            seen[:, k] = alpha[:, 0]
        if augment:
            picture = self._augment(picture)
        return picture.clamp(0, 1) * 2 - 1, self._labels(seen, given)

    def _grounds(self, ground: Tensor) -> Tensor:
        """As `components.data.grounds.paint`: [B] -> [B x 3 x size x size] in [0, 1]."""
        count = len(ground)
        shade = self.rgb[ground] + self.uniform(-8, 8, count, 3) * (ground >= 0)[:, None]
        start = self.uniform(0, PERIOD, count, 2, 1, 1)
        y, x = (self.ys + start[:, 0]) / PERIOD, (self.xs + start[:, 1]) / PERIOD
        edge = torch.stack((self.xs, self.ys, 1 - self.xs, 1 - self.ys)).amin(0)
        darker = torch.stack(  # in the order of PATTERNS
            (
                torch.zeros_like(x, dtype=torch.bool),
                (x + y) % 1 < 0.5,
                torch.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.28,
                (x % 1 < 0.5) != (y % 1 < 0.5),
                (2 * y + 0.35 * torch.sin(2 * math.pi * x)) % 1 < 0.5,
                (edge < FRAME).expand_as(x),
            )
        )
        chosen = darker[self.pattern[ground], torch.arange(count, device=self.device)]
        return ((shade[..., None, None] - CONTRAST * chosen[:, None]) / 255).clamp(0, 1)

    def _layers(self, given: dict[str, Tensor], augment: bool) -> Tensor:
        """Each sprite alone on the picture's area, colours multiplied by alpha.

        Half of the augmented pictures are as another artist might have drawn them: stretched, slanted, in
        paler or stronger colours.
        """
        shape = (*given["sprite"].shape, 4, self.size, self.size)
        layers = torch.zeros(shape, device=self.device)
        artist = (self.uniform(0, 1, shape[0], 1) < 0.5 * augment).expand(shape[:2])
        stretch = (artist * self.uniform(-0.12, 0.12, *shape[:2])).exp()
        slant = artist * self.uniform(-0.12, 0.12, *shape[:2])
        saturation = 1 + artist * self.uniform(-0.5, 0.3, *shape[:2])
        small = given["side"] * self.size < 0.62 * self.sprites.shape[-1]
        for reduced in (True, False):  # a large reduction goes through half the size, or it would flicker
            rows = (given["sprite"] >= 0) & (small == reduced)
            if not rows.any():
                continue
            sprite = self.sprites[given["sprite"][rows]].float() / 255
            grey = sprite[:, :3].mean(1, keepdim=True)
            sprite[:, :3] = grey + (sprite[:, :3] - grey) * saturation[rows][:, None, None, None]
            sprite[:, :3] = sprite[:, :3].clamp(0, 1) * sprite[:, 3:]
            if reduced:
                sprite = F.avg_pool2d(sprite, 2)
            x, y, side, turn = (given[name][rows][:, None, None] for name in ("x", "y", "side", "turn"))
            dx, dy = (self.xs - x) * 2 / side, (self.ys - y) * 2 / side
            cos, sin = turn.cos(), turn.sin()
            dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
            wide, lean = stretch[rows][:, None, None], slant[rows][:, None, None]
            grid = torch.stack((dx * wide + dy * lean, dy / wide), dim=-1)
            layers[rows] = F.grid_sample(sprite, grid, align_corners=False)
        return layers

    def _augment(self, picture: Tensor) -> Tensor:
        """Brightness, contrast, a tint; some pictures blurred or noisy, as scans and JPEGs are."""
        count = len(picture)
        gain = self.uniform(0.85, 1.15, count, 1, 1, 1) * self.uniform(0.95, 1.05, count, 3, 1, 1)
        picture = (picture - 0.5) * self.uniform(0.85, 1.1, count, 1, 1, 1) + 0.5
        picture = picture * gain
        dice = self.uniform(0, 1, count)
        soft = dice < 0.15
        if soft.any():
            picture[soft] = F.avg_pool2d(picture[soft], 3, 1, 1, count_include_pad=False)
        rough = (dice > 0.85)[:, None, None, None]
        noise = torch.randn(picture.shape, generator=self.generator, device=self.device)
        return picture + rough * noise * 0.04

    def _labels(self, seen: Tensor, given: dict[str, Tensor]) -> Tensor:
        """[B x patches]: the thing that covers a quarter of the patch or more, the ground if nothing does."""
        cover = F.avg_pool2d(seen, self.patch).flatten(2)  # [B x K x patches]
        most, which = cover.max(dim=1)
        thing = given["thing"].gather(1, which)
        ground = torch.where(given["ground"] < 0, len(self.rgb) - 1, given["ground"])[:, None] + self.things
        label = torch.where(most > 0.25, thing, torch.full_like(thing, IGNORED))
        return torch.where(cover.sum(1) < 0.03, ground.expand_as(label), label)
