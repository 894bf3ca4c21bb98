"""How far a run gives way to other programs, in processes that lead a session and in one that does not."""

import time
from pathlib import Path

import pytest

from resnet_cifar.system import niceness
from tests.builders import start, wait

GROUP = "/proc/{}/autogroup"
_CHILD = """
import sys, time
from resnet_cifar.system import niceness
niceness._WINDOW, niceness._RECOVERY, niceness._ENOUGH = map(float, sys.argv[2:])
niceness.give_way()
print(flush=True)
while True:
    time.sleep(1) if sys.argv[1] == "sleeps" else None
"""

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not Path(GROUP.format("self")).exists(), reason="this kernel does not group by session"),
]


def started(does: str, enough: float = 0.5, leads: bool = True) -> Path:
    """Start a process that gives way; returns the file of its group. `enough`: of a core."""
    child = start("-c", _CHILD, does, 0.1, 0.3, enough, start_new_session=leads)
    assert child.stdout is not None
    child.stdout.readline()
    return Path(GROUP.format(child.pid))


def of(group: Path) -> int:
    return int(group.read_text().split()[-1])


def test_a_busy_process_gives_way_as_long_as_enough_is_left_to_it():
    group = started("spins", enough=1e-9)  # however busy the machine is
    wait(lambda: of(group) == niceness.NICENESS)
    for _ in range(20):
        time.sleep(0.02)
        assert of(group) == niceness.NICENESS


def test_one_that_gets_too_little_gives_way_no_longer_but_tries_again():
    group = started("sleeps")
    for expected in (0, niceness.NICENESS, 0):
        wait(lambda expected=expected: of(group) == expected)


def test_a_process_leaves_the_session_of_others_as_it_is():
    before, group = of(Path(GROUP.format("self"))), started("spins", leads=False)
    time.sleep(0.5)
    assert of(group) == of(Path(GROUP.format("self"))) == before
