"""Load: many clients beside a training run and two open pages."""

from pathlib import Path

import pytest

from benchmarks.load import Speed, ask_all, labels, photograph, quantiles, served, training
from tests.faults.conftest import LONG, Table
from tests.ui.conftest import free_port

pytestmark = pytest.mark.skipif(not LONG, reason="ten minutes; the short form is test_32_clients_at_once in tests/ui")

CLIENTS, SECONDS = 32, 2 * LONG


def megabytes(pid: int) -> float:
    """Memory of a process."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def test_clients_a_run_and_two_pages(table: Table, browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ten minutes at a length of 300."""
    monkeypatch.delenv("OMP_NUM_THREADS")  # as on a person's machine
    image, port = photograph(), free_port()
    url = f"http://127.0.0.1:{port}"
    with served(tmp_path, port) as page, training(tmp_path) as run:
        for tab in ("train", "curves"):
            browser.new_page().goto(f"{url}#{tab}")
        expected = labels(ask_all(url, CLIENTS, 30, image))
        before, speed = megabytes(page.pid), Speed(run)
        answers = ask_all(url, CLIENTS, SECONDS, image)
        beside, after = str(speed), megabytes(page.pid)
        browser.close_pages()
    assert labels(answers) == expected and len(expected) == 1
    assert after - before < 100
    figures = (
        f"{len(answers):,} answers in {SECONDS} s, {len(answers) / SECONDS:.0f} a second, without an error; "
        f"median, p95, p99 {quantiles(answers)}; the run {beside}; memory {before:.0f} MB, then {after:.0f} MB"
    )
    must = "no error, the same answer, memory does not grow"
    table.tell("Load", f"{CLIENTS} clients, a run and two pages", must, figures)
