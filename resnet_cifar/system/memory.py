"""Peak and free memory of a device, in bytes."""

from contextlib import suppress
from pathlib import Path

import torch

from resnet_cifar.system.device import release_memory

_SELF = Path("/proc/self")


class PeakMemory:
    """Peak memory since this object was created: reserved by torch on a GPU, resident in this process on a CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        release_memory(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                (_SELF / "clear_refs").write_text("5")  # resets the peak (VmHWM) to the current value

    def bytes(self) -> int | None:
        """Return the peak so far; None on a CPU whose operating system does not report it."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device)
        return _field(_SELF / "status", "VmHWM")


def free_memory(device: torch.device) -> int | None:
    """Return free memory in bytes; None on a CPU whose operating system does not report it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _field(file: Path, name: str) -> int | None:
    """Read a value in kB from a file in /proc, in bytes."""
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None
