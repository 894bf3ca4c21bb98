"""How far a run gives way to other programs, in processes that lead a session and in one that does not."""

import time
from pathlib import Path

import pytest

from resnet_cifar.system import niceness
from tests.builders import start, wait

GROUP = "/proc/{}/autogroup"
_CHILD = """
import os, sys, time
from resnet_cifar.system import niceness
does, leads = sys.argv[1], sys.argv[2] == "True"
if not leads and os.fork():  # a parent that leads
    os.wait()
niceness._WINDOW, niceness._RECOVERY, niceness._ENOUGH = map(float, sys.argv[3:])
parent = os.getppid()
niceness.give_way()
print(flush=True)
while os.getppid() == parent:
    time.sleep(1) if does == "sleeps" else None
"""

pytestmark = pytest.mark.process


def started(does: str, enough: float = 0.5, leads: bool = True) -> Path:
    """Start a process that gives way, or its parent leads; returns the file of its group. `enough`: of a core."""
    child = start("-c", _CHILD, does, leads, 0.1, 0.3, enough, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    group = Path(GROUP.format(child.pid))
    if not (group.exists() and group.read_text()):
        pytest.skip("this kernel does not group by session")
    return group


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
    group = started("spins", enough=1e-9, leads=False)
    time.sleep(0.5)
    assert of(group) == 0
