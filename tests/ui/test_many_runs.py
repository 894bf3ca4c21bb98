"""The table of runs with more of them than are drawn at once."""

from pathlib import Path

import pytest

from tests.builders import recipe, told
from tests.ui.conftest import without_errors

COUNT = 120


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for number in range(COUNT):
        told(folder / f"run-{number:03}", recipe(seed=number))
    return folder


def test_pages_are_turned_and_the_change_of_a_run_costs_its_row(browser, address: str, runs: Path):
    asked: list[str] = []
    with without_errors(browser, address + "#curves") as page:
        page.on("request", lambda request: asked.append(request.post_data if "server" in request.url else ""))
        rows, where = page.locator("#runs tbody tr"), page.locator("#runs .pages span")
        page.get_by_text("1 to 50 of 120").wait_for()
        assert rows.count() == 50 and page.get_by_role("button", name="Previous").is_disabled()
        for text, count in (("51 to 100 of 120", 50), ("101 to 120 of 120", 20)):
            page.get_by_role("button", name="Next").click()
            assert (where.inner_text(), rows.count()) == (text, count)
        assert page.get_by_role("button", name="Next").is_disabled()
        page.get_by_role("button", name="Run", exact=True).click()  # sorted anew, from the first page on
        assert where.inner_text() == "1 to 50 of 120" and rows.first.get_attribute("data-run") == "run-000"
        page.get_by_role("button", name="Next").click()
        page.locator("#runs thead input").check()  # shows the first runs of this page, not of all
        assert rows.first.locator("input").is_checked()
        asked.clear()
        last = told(runs / "copy", recipe()).events.epochs[-1]
        page.get_by_text("51 to 100 of 121").wait_for()
        page.get_by_label("Filter runs by").fill("run-07")
        assert rows.count() == 10 and page.locator("#runs .pages").is_hidden()
        record = told(runs / "other", recipe())
        record.run.append(last)
        page.get_by_label("Filter runs by").fill("other")
        page.locator("#runs tr[data-run=other]", has_text="3 / 2").wait_for()
        rows_asked = [body for body in asked if "rows_of" in body]
        assert rows_asked and all("run-" not in body for body in rows_asked)  # no row that the page has is sent again
