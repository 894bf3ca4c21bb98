"""Time and price of a run on rented hardware, before anything was measured there.

Computed from the multiply-accumulates of its recipe and the published speed of the GPU. How much of that speed a whole
run uses was measured on one GPU, so the time may be half or twice as long; what is paid for is the time that it takes.
"""

import math
from dataclasses import dataclass

from resnet_cifar.errors import UserError
from resnet_cifar.hub.jobs import Hardware
from resnet_cifar.recipe import cost
from resnet_cifar.recipe.config import Recipe
from resnet_cifar.recipe.datasets import OWN
from resnet_cifar.report.text import roughly

# Dense bf16 operations per second in 10^12, from NVIDIA's data sheets. On the H100 with 989, a run of `overnight` used
# 0.08 of them, from its start to its end (README: the teacher, 1.3e16 multiply-accumulates in 331 s).
_SPEEDS = {"L40S": 362.0, "L4": 121.0, "A10G": 70.0, "A100": 312.0, "H200": 989.0, "H100": 989.0, "RTXPRO6000": 504.0}
_USED = 0.08
# A T4 has no bf16, so runs compute in fp32, at 8.1; of such small numbers, convolutions use more: about a half.
_T4 = 8.1 * 0.5
_GPUS_TOGETHER = 0.8  # of the speed that several GPUs would have if they never waited for each other
_START_MINUTES = 20  # for the image, the packages and the data
_ROOM = 3.0  # times the estimate, after which the Hub ends an attempt
_LONGEST = 7 * 24 * 60  # minutes


@dataclass(frozen=True)
class Tariff:
    """What a run is expected to take and to cost on rented hardware."""

    hardware: Hardware
    seconds: float | None
    """Expected duration; None if the speed of the hardware is unknown."""
    minutes: int
    """Minutes after which the Hub ends an attempt."""

    @property
    def dollars(self) -> float | None:
        """Expected price."""
        return None if self.seconds is None else max(0.01, self.hardware.dollars_an_hour * self.seconds / 3600)

    @property
    def most(self) -> float:
        """Price if both attempts take all of their time."""
        return 2 * self.minutes / 60 * self.hardware.dollars_an_hour

    @property
    def sentence(self) -> str:
        """Price, what it is based on, and the most that can be spent."""
        one = self.hardware
        if self.seconds is None or self.dollars is None:
            expected = f"{one.name} costs ${one.dollars_an_hour:.2f} an hour; how long the run takes there is unknown"
        else:
            expected = (
                f"{roughly(self.seconds)} on {one.name} for about ${self.dollars:.2f} "
                f"(${one.dollars_an_hour:.2f} an hour) and some minutes to begin; computed from the recipe and the "
                "GPU's published speed, not measured"
            )
        return (
            f"{expected}. Each of two attempts ends after {self.minutes} minutes, so it costs ${self.most:.2f} at most."
        )


def tariff(recipe: Recipe, hardware: Hardware, minutes: int | None = None) -> Tariff:
    """Estimate a run on rented hardware. `minutes`: limit of an attempt that somebody chose.

    Raises UserError if the limit must be chosen, because the speed is unknown, or cannot be that long.
    """
    speed = _speed(hardware)
    seconds = None if speed is None else 2 * cost.run_macs(recipe) / speed
    if minutes is None:
        if seconds is None:
            raise UserError(
                f"how long the run takes on {hardware.name} is unknown; choose other hardware, or, in a terminal, "
                "with --minutes N after how many minutes the Hub ends it."
            )
        minutes = min(_LONGEST, _START_MINUTES + math.ceil(_ROOM * seconds / 60))
    if not 1 <= minutes <= _LONGEST:
        raise UserError(f"--minutes is {minutes}; it must lie between 1 and {_LONGEST}.")
    return Tariff(hardware, seconds, minutes)


def check_rentable(recipe: Recipe) -> None:
    """Raise UserError for a recipe that needs files of this machine."""
    if recipe.data == OWN:
        raise UserError(
            "a Job cannot see your own images, which never leave this machine; choose another recipe, or train on a "
            "machine of your own."
        )
    for role, source, instead in (
        ("initial weights", recipe.init, "scratch or imagenet"),
        ("teacher", recipe.teacher, "none"),
    ):
        if source not in (None, "scratch", "imagenet"):
            raise UserError(
                f"a Job cannot see the {role} {source}, which are on this machine; choose {instead}, or train "
                "on a machine of your own."
            )


def _speed(hardware: Hardware) -> float | None:
    """Operations per second of a run on this hardware; None if that is not known."""
    model = hardware.gpu.upper().replace(" ", "").replace("-", "").removeprefix("NVIDIA")
    if model == "T4":
        used: float | None = _T4
    else:
        used = next((_USED * speed for name, speed in _SPEEDS.items() if model.startswith(name)), None)
    if used is None:
        return None
    return used * 1e12 * (1 if hardware.gpus < 2 else _GPUS_TOGETHER * hardware.gpus)
