"""Losses and hits of an epoch's steps, collected without waiting for the device."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from resnet_cifar.system.distributed import World


@dataclass
class Tally:
    """Sums over an epoch. Results stay on the device until `read`."""

    loss: float = 0.0
    hits: float = 0.0
    images: int = 0
    window: list[tuple[float, float, int]] = field(default_factory=list)
    """Mean loss, hits and images of each step since the last report."""
    waiting: list[tuple[Tensor, int]] = field(default_factory=list)

    def add(self, loss_and_hits: Tensor, images: int) -> None:
        """Add a step's result: (2,) on the device, of this process; `images`: of all processes."""
        self.waiting.append((loss_and_hits, images))

    def read(self, world: World) -> None:
        """Wait for the device, and move the waiting results, summed over processes, into the window."""
        if self.waiting:
            rows = world.all_reduce(torch.stack([row for row, _ in self.waiting])).tolist()
            self.window += [(loss, hits, images) for (loss, hits), (_, images) in zip(rows, self.waiting, strict=True)]
            self.waiting.clear()

    def close_window(self) -> float:
        """Add the window to the sums and begin a new one; returns the mean loss over its images."""
        loss = sum(loss * images for loss, _, images in self.window)
        images = sum(images for _, _, images in self.window)
        self.loss += loss
        self.hits += sum(hits for _, hits, _ in self.window)
        self.images += images
        self.window.clear()
        return loss / images
