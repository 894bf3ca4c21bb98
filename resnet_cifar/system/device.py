"""The device to compute on, its precision and its memory."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path

import torch

from resnet_cifar.errors import UserError
from resnet_cifar.system.load import Load, busy_cores, cores, free_threads

Autocast = Callable[[], AbstractContextManager[None]]


def choose_device(name: str) -> torch.device:
    """Device for `auto` (a CUDA GPU if there is one), `cuda` or `cpu`. Raises UserError if it does not exist."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA GPU here; check the driver with nvidia-smi, or use cpu.")
    if name not in ("auto", "cuda", "cpu"):
        raise UserError(f"--device is {name!r}; it must be auto, cuda or cpu.")
    return torch.device("cpu" if name == "cpu" or not torch.cuda.is_available() else "cuda")


def prepare(device: torch.device) -> None:
    """Set up torch for training or evaluation on a device; call it before an optimizer is made."""
    torch.backends.cudnn.deterministic = True  # the same seed must give the same run
    if device.type == "cuda":
        _cache_compiled_code()


def use_free_cores() -> str:
    """Give torch as many threads as cores are free now, and return that in words.

    Call it before the process has work of its own. If OMP_NUM_THREADS is set, that number holds.
    """
    if os.environ.get("OMP_NUM_THREADS"):
        return f"{_threads(torch.get_num_threads())}, as OMP_NUM_THREADS says"
    busy = busy_cores()
    count = free_threads(busy)
    torch.set_num_threads(count)
    return _threads(count) + ("" if count == cores() else f": other programs use {busy:.1f} of {cores()} cores")


class Threads:
    """Keeps the number of torch's threads on a CPU at that of the free cores, unless OMP_NUM_THREADS is set."""

    def __init__(self, window: float) -> None:
        """`window`: seconds over which the load is averaged."""
        self._load = Load(window)

    def follow(self) -> None:
        """Set the number for what the calling thread computes from now on."""
        if not os.environ.get("OMP_NUM_THREADS"):
            count = free_threads(self._load.busy())
            if count != torch.get_num_threads():
                torch.set_num_threads(count)


@contextmanager
def threads_of_a_run() -> Iterator[None]:
    """Use as many threads as a run that starts now would, then as many as before."""
    before = torch.get_num_threads()
    use_free_cores()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _cache_compiled_code() -> None:
    """Keep compiled code from one run to the next, if the home folder is writable."""
    with suppress(OSError, RuntimeError):
        folder = Path.home() / ".cache" / "resnet_cifar" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))


def choose_precision(name: str, device: torch.device) -> str:
    """`bf16` or `fp32`; `auto` is bf16 if the device computes faster with it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else "fp32"


def runs_in(device: torch.device, precision: str) -> Autocast:
    """Context for convolutions and matrix products in `precision`; weights and sums stay in fp32."""
    return partial(torch.autocast, device.type, torch.bfloat16) if precision == "bf16" else nullcontext


def describe(device: torch.device) -> str:
    """Name of the device for people."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {cores()} cores"


def count(device: torch.device) -> int:
    """Number of devices of this kind that a run can be spread over."""
    return torch.cuda.device_count() if device.type == "cuda" else 1


def identity(device: torch.device) -> str:
    """Name that is unique among this machine's devices, whatever CUDA_VISIBLE_DEVICES says."""
    return f"gpu-{torch.cuda.get_device_properties(device).uuid}" if device.type == "cuda" else "cpu"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that a device, or the machine, ran out of memory."""
    # The last one is cuDNN's: no algorithm for a convolution fits into the memory that is left.
    words = ("out of memory", "alloc_failed", "allocation_failed", "can't allocate memory", "unable to find an engine")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)
    )


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished its work, so that measured times are true."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Lead:
    """Keeps the host one batch ahead of the device: the device never idles, and a stop takes effect soon."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._queued: torch.cuda.Event | None = None

    def keep(self) -> None:
        """Wait for the work queued before the previous call."""
        if self._device.type != "cuda":
            return
        before, self._queued = self._queued, torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._queued.record()
        if before is not None:
            before.synchronize()


def release_memory(device: torch.device) -> None:
    """Return the memory that torch caches on a device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
