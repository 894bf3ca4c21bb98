"""The table of faults: each test of the long form tells what it did, and the table is written at the end."""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.ui.conftest import browser  # noqa: F401  # a fixture of the test under load

LONG = int(os.environ.get("FAULTS", "0"))
"""Examples of each fault in the long form; 0: the short form, as part of all tests."""
_README = Path(__file__).with_name("README.md")
_HEAD = """# Faults

What the project is put through, and what must hold. `make faults` runs the long form and writes this table, with the
figures of its last run; the short form is part of `make test`.
"""
_COLUMNS = "| fault | what must hold | figures of the last run |\n|---|---|---|"
KINDS = {
    "Kills": "SIGKILL, which no process can catch. A kill in a write leaves the half of it.",
    "Disk": "The disk refuses at one operation on the run's folder, and is mended afterwards.",
    "Locks": "Several processes, a clock that is wrong, and process ids that mean another process.",
    "Download": "A server on this machine in place of the official one.",
    "Damage": "Each example harms one file of a run, and then looks at the runs with the functions behind the table, "
    "the card, the curves, the list of models, classifying, evaluating, `--init`, publishing and resuming. Counted are "
    "the uses of the harmed run; looks at all runs are never refused.",
    "Load": "Many requests at once, beside a run. `benchmarks/load.py` measures the same for half a minute.",
    "Strangers": "Requests of people who have no rights, and files of people who mean harm.",
}
"""Sections of the table, and what is said of each."""


class Table:
    """Rows of the table, by kind and fault."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}

    def tell(self, kind: str, fault: str, must: str, figures: str) -> None:
        """Add a row to a section in `KINDS`: a fault, what must hold, and what came of it."""
        self.rows.setdefault(kind, {})[fault] = f"| {fault} | {must} | {figures} |"

    def write(self) -> None:
        """Write the table. Sections of which no row was told are kept."""
        before = _README.read_text(encoding="utf-8") if _README.exists() else ""
        sections = re.split(r"^## ", before, flags=re.MULTILINE)[1:]
        kept = {section.split()[0]: f"## {section.rstrip()}" for section in sections}
        for kind, rows in self.rows.items():
            kept[kind] = "\n".join((f"## {kind}\n\n{KINDS[kind]}\n\n{_COLUMNS}", *rows.values()))
        _README.write_text("\n".join((_HEAD, *(kept[kind] + "\n" for kind in KINDS if kind in kept))), encoding="utf-8")


_TABLE = pytest.StashKey[Table]()
_COUNTS = pytest.StashKey[Counter[tuple[str, str]]]()


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Table:
    return request.config.stash.setdefault(_TABLE, Table())


@pytest.fixture(scope="session")
def counted(request: pytest.FixtureRequest, table: Table) -> Counter[tuple[str, str]]:
    """Numbers by fault and outcome, of damaged files."""
    return request.config.stash.setdefault(_COUNTS, Counter())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, if all of the long form has passed."""
    table = session.config.stash.get(_TABLE, None)
    if not LONG or table is None or session.testsfailed:
        return
    counts = session.config.stash.get(_COUNTS, Counter())
    for fault in dict.fromkeys(fault for fault, _ in counts):
        examples, refused, used, raised = (counts[fault, one] for one in ("examples", "refused", "used", "raised"))
        figures = f"{examples:,} examples: {refused:,} refused, {used:,} used as it is, {raised:,} anything else"
        table.tell("Damage", fault, "used, or refused in a sentence; other runs look as before", figures)
    if table.rows:
        table.write()
