"""How much memory is in use at its peak."""

from contextlib import suppress
from pathlib import Path

import torch

from resnet_cifar.system.device import release_memory

_SELF = Path("/proc/self")


class PeakMemory:
    """The most that was held at once since this was made: of a GPU by torch, or of the machine by this process."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        release_memory(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            with suppress(OSError):
                (_SELF / "clear_refs").write_text("5")  # the peak becomes what is held now

    def bytes(self) -> int | None:
        """None on a CPU where the system doesn't tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device)
        return _field(_SELF / "status", "VmHWM")


def free_memory(device: torch.device) -> int | None:
    """Bytes that are there to be had; None on a CPU where the system doesn't tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return _field(Path("/proc/meminfo"), "MemAvailable")


def _field(file: Path, name: str) -> int | None:
    """A number of kB, in bytes."""
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return None
