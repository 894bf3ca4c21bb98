"""How far a run on a CPU gives way to other programs: as long as half a core is left to it.

Where Linux groups processes by session (its autogroups), a process's niceness counts only within its session, and a run
has a session of its own. The group has a niceness too, which the run sets here.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

NICENESS = 10  # keeps the page responsive on the same cores

_GROUP = Path("/proc/self/autogroup")
_ENOUGH = 0.5  # of a core; a process of this niceness could otherwise get a twentieth beside two busy ones
_WINDOW = 1.0  # seconds over which its share is measured
_RECOVERY = 20.0  # seconds without niceness, after which it tries again


def give_way() -> None:
    """Let this process's session give way from now on, if the process leads one and the kernel groups by session."""
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid() and _GROUP.exists():
        threading.Thread(target=_follow, name="niceness", daemon=True).start()


def _follow() -> None:
    with suppress(OSError):  # the kernel may refuse; then all stays as it is
        while True:
            _GROUP.write_text(str(NICENESS))
            while _share() >= _ENOUGH:
                pass
            _GROUP.write_text("0")
            time.sleep(_RECOVERY)


def _share() -> float:
    """Measure how much of a core this process gets."""
    spent, began = time.process_time(), time.monotonic()
    time.sleep(_WINDOW)
    return (time.process_time() - spent) / (time.monotonic() - began)
