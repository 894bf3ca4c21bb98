"""Counts what became of each fault, and writes the table after the long form."""

import os
from collections import Counter
from pathlib import Path

import pytest

LONG = int(os.environ.get("FAULTS", "0"))
"""Examples of each fault in the long form; 0: the short form, as part of all tests."""
_README = Path(__file__).with_name("README.md")
_HEAD = """# Faults

What a run's files are put through, and what must hold. `make faults` runs the long form and writes this table; the
short form is part of `make test`. Each example harms one file of a run, and then looks at the runs with the functions
behind the table, the card, the curves, the list of models, classifying, evaluating, `--init`, publishing and resuming.
The last three columns count what came of the uses of the harmed run; looks at all runs are never refused.

| fault | what must hold | examples | refused in a sentence | used as it is | anything else |
|---|---|---:|---:|---:|---:|
"""
MUST = "used, or refused in a sentence; other runs look as before"


@pytest.fixture(scope="session")
def counted(request: pytest.FixtureRequest) -> Counter[tuple[str, str]]:
    """Numbers by fault and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    request.config.stash[_COUNTS] = counts
    return counts


_COUNTS = pytest.StashKey[Counter[tuple[str, str]]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, if all of the long form has passed."""
    counts = session.config.stash.get(_COUNTS, None)
    if not LONG or not counts or session.testsfailed:
        return
    faults = dict.fromkeys(fault for fault, _ in counts)
    columns = ("examples", "refused", "used", "raised")
    rows = [f"| {fault} | {MUST} | {' | '.join(f'{counts[fault, one]:,}' for one in columns)} |" for fault in faults]
    _README.write_text(_HEAD + "\n".join(rows) + "\n", encoding="utf-8")
