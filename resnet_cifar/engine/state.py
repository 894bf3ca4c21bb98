"""The state of a run while it trains, as one object that can be saved and restored at any step.

It holds no random state: every draw comes from a generator seeded by the recipe's seed and the place of the draw, so
that restoring the position restores the draws.
"""

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from resnet_cifar.engine.ema import Ema
from resnet_cifar.engine.metrics import Tally
from resnet_cifar.engine.optimizer import build_optimizer, optimizer_tensors, restore_optimizer
from resnet_cifar.errors import Diverged
from resnet_cifar.model.distillation import Teacher
from resnet_cifar.model.freezing import freeze_all_but
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import EpochSettings, Recipe, Stage
from resnet_cifar.system.device import runs_in
from resnet_cifar.system.distributed import ALONE, World

Weights = dict[str, Tensor]


@dataclass
class Position:
    """The next step to take."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    announced: bool = False
    """Whether the stage's StageStarted has been yielded."""


@dataclass
class Best:
    """The best weights so far."""

    top1: float | None
    """On val; None without val."""
    image_size: int
    """Pixels a side that they were evaluated at."""
    weights: Weights


class Training:
    """The state of a run. `model` must be on its device already, and equal in all processes of `world`."""

    def __init__(
        self,
        model: ResNet,
        recipe: Recipe,
        device: torch.device,
        precision: str,
        world: World = ALONE,
        teacher: Teacher | None = None,
    ) -> None:
        self.model = model.to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.device = device
        self.world = world
        self.teacher = teacher
        weights = recipe.own.class_weights if recipe.own is not None else None
        self.class_weights = None if weights is None else torch.tensor(weights, device=device)
        """Weight of each class's images in the loss, (classes,); None: all images weigh the same."""
        self.autocast = runs_in(device, precision)
        self.position = Position()
        self.tally = Tally()
        self.best: Best | None = None
        self.stage_best: float | None = None
        self.stale_epochs = 0
        self.micro_batches = 1
        """Micro-batches per step; 2 after the first out-of-memory error."""
        self.net: nn.Module = model
        """Module that is trained: the model, or only its head on cached features."""
        self.enter(0)

    @property
    def stage(self) -> Stage:
        """Current stage."""
        return self.recipe.stages[self.position.stage]

    @property
    def settings(self) -> EpochSettings:
        """Image size and augmentation of the current epoch."""
        return self.stage.at(self.position.epoch)

    @property
    def done(self) -> bool:
        """Whether every stage has run."""
        return self.position.stage == len(self.recipe.stages)

    def enter(self, stage: int) -> None:
        """Begin a stage: freeze its frozen groups, make a new optimizer and a new EMA."""
        self.position = Position(stage=stage)
        self.stage_best, self.stale_epochs, self.micro_batches = None, 0, 1
        if self.done:
            return
        freeze_all_but(self.model, self.stage.trainable)
        self._prefix = "fc." if self.stage.caches_features else ""
        self.net = self.model.fc if self.stage.caches_features else self.model
        self.shared_net = self.world.wrap(self.net)
        """`net`, wrapped so that processes average their gradients."""
        self.compiled: nn.Module | None = None
        """`net` compiled for full batches."""
        self.buffers_before_compiling: dict[str, Tensor] = {}
        """BatchNorm buffers of `model` while compiling changes them; empty otherwise."""
        self.optimizer = build_optimizer(self.model, self.stage)
        self._begin_ema()

    def begin_image_size(self) -> None:
        """Prepare for epochs of another image size within a stage.

        Compiled code is for one shape, and BatchNorm statistics averaged over two sizes fit neither.
        """
        self.compiled = None
        position = self.position
        if position.step or not position.epoch:  # resumed in the middle of an epoch, or the stage's first one
            return
        if self.stage.at(position.epoch - 1).image_size != self.settings.image_size:
            self._begin_ema()

    def _begin_ema(self) -> None:
        self.ema: Ema | None = None  # the old one is released before a new one takes as much memory
        if self.stage.ema_decay:
            self.ema = Ema(self.net, self.stage.ema_decay)

    def module_for(self, inputs: Tensor) -> nn.Module:
        """Module to call for a batch's inputs: the compiled one for full batches, else the one shared by processes."""
        full = len(inputs) == self.stage.batch_size
        return self.compiled if self.compiled is not None and full else self.shared_net

    def generator(self, *place: object) -> torch.Generator:
        """Generator for the draws at a place within the run."""
        key = "/".join(map(str, (self.recipe.seed, self.position.stage, *place)))
        seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1
        return torch.Generator(self.device).manual_seed(seed)

    def share_statistics(self) -> None:
        """Average the BatchNorm statistics over all processes, because each has seen only its own images."""
        for net in (self.net, self.ema.module if self.ema else None):
            if net is not None:
                self.world.all_reduce_mean([buffer for buffer in net.buffers() if buffer.is_floating_point()])

    def weights(self, averaged: bool = False) -> Weights:
        """Copy of the whole model's weights and BatchNorm statistics; `averaged`: of their EMA, where there is one."""
        weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        if averaged and self.ema is not None:
            weights |= {self._prefix + name: tensor.clone() for name, tensor in self.ema.module.state_dict().items()}
        return weights

    def settle(self) -> None:
        """Wait for the device and read its results. Raises Diverged if a loss is not finite."""
        self.tally.read(self.world)
        first = self.position.step - len(self.tally.window)
        for step, (loss, _, _) in enumerate(self.tally.window, first + 1):
            if not math.isfinite(loss):
                raise Diverged(
                    f"the loss became {loss} in stage {self.stage.name!r}, epoch {self.position.epoch + 1}, "
                    f"step {step}; try a new run with a lower --lr, or with --precision fp32."
                )

    def state(self) -> tuple[Weights, dict[str, Any]]:
        """All that resuming needs: the live tensors, not copies, and the rest as JSON values.

        Raises Diverged if a loss is not finite: nothing good can be resumed from here.
        """
        self.settle()
        self.share_statistics()
        tensors = _prefixed("model", self.model.state_dict() | self.buffers_before_compiling)
        if not self.done:
            tensors |= _prefixed("optimizer", optimizer_tensors(self.optimizer, self.model))
            tensors |= _prefixed("ema", self.ema.state_dict() if self.ema else {})
        tensors |= _prefixed("best", self.best.weights if self.best else {})
        facts = {
            "position": dataclasses.asdict(self.position),
            "tally": [self.tally.loss, self.tally.hits, self.tally.images, self.tally.window],
            "best": [self.best.top1, self.best.image_size] if self.best else None,
            "stage_best": self.stage_best,
            "stale_epochs": self.stale_epochs,
            "micro_batches": self.micro_batches,
        }
        return tensors, facts

    def restore(self, tensors: Weights, facts: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.enter(facts["position"]["stage"])
        self.position = Position(**facts["position"])
        loss, hits, images, window = facts["tally"]
        self.tally = Tally(loss, hits, images, [(a, b, c) for a, b, c in window])
        self.stage_best, self.stale_epochs = facts["stage_best"], facts["stale_epochs"]
        self.micro_batches = facts["micro_batches"]
        self.model.load_state_dict(tensors_under("model", tensors))
        if not self.done:
            restore_optimizer(self.optimizer, self.model, tensors_under("optimizer", tensors))
            if self.ema is not None:
                self.ema.load_state_dict(tensors_under("ema", tensors))
        if facts["best"] is not None:
            weights = {name: tensor.to(self.device) for name, tensor in tensors_under("best", tensors).items()}
            top1, image_size = facts["best"]
            self.best = Best(top1, image_size, weights)


def _prefixed(prefix: str, tensors: Weights) -> Weights:
    return {f"{prefix}.{name}": tensor.detach() for name, tensor in tensors.items()}


def tensors_under(prefix: str, tensors: Weights) -> Weights:
    """Return the tensors of a part of a state: `model`, `optimizer`, `ema` or `best`."""
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
