"""Where and how exactly to compute: the device, the precision, and what each of them is good at."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

import torch

from resnet_cifar.errors import UserError

Autocast = Callable[[], AbstractContextManager[None]]


def choose_device(name: str) -> torch.device:
    """`auto` (a CUDA GPU where there is one), `cuda` or `cpu`. Raises UserError where there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA GPU here; check the driver with nvidia-smi, or use cpu.")
    if name not in ("auto", "cuda", "cpu"):
        raise UserError(f"--device is {name!r}; it must be auto, cuda or cpu.")
    torch.backends.cudnn.deterministic = True  # the same seed is to give the same run
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    _keep_what_is_compiled()
    return torch.device("cuda")


def _keep_what_is_compiled() -> None:
    """From one run to the next, where there is a place for it. Torch reads this as soon as an optimizer is made."""
    with suppress(OSError, RuntimeError):
        folder = Path.home() / ".cache" / "resnet_cifar" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def choose_precision(name: str, device: torch.device) -> str:
    """`bf16` or `fp32`; `auto` takes bf16 where the device computes with it faster than with fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def runs_in(device: torch.device, precision: str) -> Autocast:
    """What to enter to have convolutions and matrix products run in `precision`; weights and sums stay in fp32."""
    return partial(torch.autocast, device.type, torch.bfloat16) if precision == "bf16" else nullcontext


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


def count(device: torch.device) -> int:
    """How many devices of its kind this machine lets a run be spread over."""
    return torch.cuda.device_count() if device.type == "cuda" else 1


def identity(device: torch.device) -> str:
    """What tells a device from the others of this machine, whatever is visible of them."""
    return f"gpu-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else "cpu"


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device, or the machine, had no memory left; torch says so in several ways."""
    words = ("out of memory", "alloc_failed", "allocation_failed", "can't allocate memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def wait_for(device: torch.device) -> None:
    """Return once the device has done what it was given, so that what is told of it is true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Lead:
    """Keeps the host one piece of work ahead of the device: far enough that it never idles, and no further, so that a
    stop is soon obeyed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._given: torch.cuda.Event | None = None

    def keep(self) -> None:
        """Wait for what the device had been given at the last call."""
        if self._device.type != "cuda":
            return
        before, self._given = self._given, torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._given.record()
        if before is not None:
            before.synchronize()


def release_memory(device: torch.device) -> None:
    """Give back what torch keeps of a device's memory for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
