"""All that moves while a run trains, as one object that can be written down and taken up again at any step.

There is no random state in it: every draw comes from a generator seeded by the recipe's seed and the place where
the draw is made, so that a position says it all.
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
from resnet_cifar.errors import Diverged
from resnet_cifar.model.distillation import Teacher
from resnet_cifar.model.freezing import freeze_all_but, parameter_groups
from resnet_cifar.model.resnet import ResNet
from resnet_cifar.recipe.config import EpochSettings, Recipe, Stage
from resnet_cifar.system.device import runs_in
from resnet_cifar.system.distributed import ALONE, World

Weights = dict[str, Tensor]
_MOMENTUM = 0.9


@dataclass
class Position:
    """The next step to take."""

    stage: int = 0
    epoch: int = 0
    step: int = 0
    announced: bool = False
    """Whether the stage has been said to have started."""


@dataclass
class Best:
    """The weights to keep, and where they come from."""

    top1: float | None
    image_size: int
    weights: Weights


class Training:
    """The state of a run. `model` must be on its device already, and the same in all processes of `world`."""

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
        self.autocast = runs_in(device, precision)
        self.position = Position()
        self.tally = Tally()
        self.best: Best | None = None
        self.stage_best: float | None = None
        self.stale_epochs = 0
        self.micro_batches = 1
        """Micro-batches per step; 2 after the first out-of-memory error."""
        self.net: nn.Module = model
        """What learns: the model, or its head alone where the backbone's features are computed beforehand."""
        self.enter(0)

    @property
    def stage(self) -> Stage:
        """The stage at hand."""
        return self.recipe.stages[self.position.stage]

    @property
    def settings(self) -> EpochSettings:
        """Image size and augmentation of the epoch at hand."""
        return self.stage.at(self.position.epoch)

    @property
    def done(self) -> bool:
        """Whether every stage has run."""
        return self.position.stage == len(self.recipe.stages)

    def enter(self, stage: int) -> None:
        """Freeze what stands still in a stage, and begin its optimizer and its EMA afresh."""
        self.position = Position(stage=stage)
        self.stage_best, self.stale_epochs, self.micro_batches = None, 0, 1
        if self.done:
            return
        freeze_all_but(self.model, self.stage.trainable)
        self._prefix = "fc." if self.stage.caches_features else ""
        self.net = self.model.fc if self.stage.caches_features else self.model
        self.shared_net = self.world.wrapped(self.net)
        """What a step runs: `net`, with gradients shared by all processes."""
        self.compiled: nn.Module | None = None
        """The same for whole batches, with operations fused."""
        self.optimizer = torch.optim.SGD(
            parameter_groups(self.model, self.stage), momentum=_MOMENTUM, nesterov=True, fused=True
        )
        self._begin_ema()

    def begin_image_size(self) -> None:
        """Prepare for epochs of another image size within a stage.

        Compiled code is for other shapes, and BatchNorm statistics averaged over two sizes fit neither.
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

    def way(self, inputs: Tensor) -> nn.Module:
        """What takes inputs (B, ...) of a step to their logits."""
        whole = len(inputs) == self.stage.batch_size
        return self.compiled if self.compiled is not None and whole else self.shared_net

    def wanted(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, float]:
        """What is to be learned from a batch's inputs, and how much labels are to be smoothed for that yet."""
        smoothing = self.stage.label_smoothing
        if self.teacher is None or self.stage.caches_features:  # features are no images that it could look at
            return targets, smoothing
        return self.teacher.targets(inputs, targets, smoothing), 0.0

    def generator(self, *place: object) -> torch.Generator:
        """The source of all draws made at a place within the run."""
        key = "/".join(map(str, (self.recipe.seed, self.position.stage, *place)))
        seed = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1
        return torch.Generator(self.device).manual_seed(seed)

    def share_statistics(self) -> None:
        """Let all processes have the mean of their BatchNorm statistics, which each gathers from its own images."""
        for net in (self.net, self.ema.module if self.ema else None):
            if net is not None:
                self.world.average([buffer for buffer in net.buffers() if buffer.is_floating_point()])

    def weights(self, averaged: bool = False) -> Weights:
        """A copy of the whole model's weights and statistics, with the average in place of what is averaged."""
        weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        if averaged and self.ema is not None:
            weights |= {self._prefix + name: tensor.clone() for name, tensor in self.ema.module.state_dict().items()}
        return weights

    def settle(self) -> None:
        """Wait for the device and take in its results. Raises Diverged where a loss is not finite."""
        self.tally.read(self.world)
        first = self.position.step - len(self.tally.window)
        for step, (loss, _, _) in enumerate(self.tally.window, first + 1):
            if not math.isfinite(loss):
                raise Diverged(
                    f"the loss became {loss} in stage {self.stage.name!r}, epoch {self.position.epoch + 1}, "
                    f"step {step}; try a new run with a lower --lr, or with --precision fp32."
                )

    def state(self) -> tuple[Weights, dict[str, Any]]:
        """What resuming needs: tensors, and the rest as JSON values. The tensors are the live ones, not copies.

        Raises Diverged where there is no use in resuming from here.
        """
        self.settle()
        self.share_statistics()
        tensors = _prefixed("model", self.model.state_dict())
        if not self.done:
            tensors |= _prefixed("momentum", self._momentum())
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
        """Take up what `state` gave."""
        self.enter(facts["position"]["stage"])
        self.position = Position(**facts["position"])
        loss, hits, images, window = facts["tally"]
        self.tally = Tally(loss, hits, images, [(a, b, c) for a, b, c in window])
        self.stage_best, self.stale_epochs = facts["stage_best"], facts["stale_epochs"]
        self.micro_batches = facts["micro_batches"]
        self.model.load_state_dict(_under("model", tensors))
        if not self.done:
            self._restore_momentum(_under("momentum", tensors))
            if self.ema is not None:
                self.ema.load_state_dict(_under("ema", tensors))
        if facts["best"] is not None:
            weights = {name: tensor.to(self.device) for name, tensor in _under("best", tensors).items()}
            top1, image_size = facts["best"]
            self.best = Best(top1, image_size, weights)

    def _momentum(self) -> Weights:
        buffers = {}
        for name, parameter in self.model.named_parameters():
            buffer = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if buffer is not None:
                buffers[name] = buffer
        return buffers

    def _restore_momentum(self, buffers: Weights) -> None:
        for name, parameter in self.model.named_parameters():
            if name in buffers:  # laid out like the parameter, as the fused step wants it
                self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffers[name])


def _prefixed(prefix: str, tensors: Weights) -> Weights:
    return {f"{prefix}.{name}": tensor.detach() for name, tensor in tensors.items()}


def _under(prefix: str, tensors: Weights) -> Weights:
    start = prefix + "."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
