"""Fixtures of the page: a live page and a real browser."""

import itertools
import os
import random
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from resnet_cifar.runs.record import Records
from resnet_cifar.training import estimate
from resnet_cifar.training.trial import Trial
from tests.builders import checkpoint, recipe, spawn, told
from tests.ui.chromium import Chromium


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "TRIAL_SECONDS", TRIAL_SECONDS)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two checkpoints; `second` is the newer one."""
    root = tmp_path_factory.mktemp("checkpoints")
    for age, name in enumerate(("second", "first")):
        file = checkpoint(root / name, seed=age) / "model.safetensors"
        os.utime(file, (1e9 - age, 1e9 - age))
    return root


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """Two runs: `one`, and the newer `other`."""
    for age, name in enumerate(("other", "one")):
        run = told(tmp_path / name, recipe()).run
        for file in (run.recipe_file, run.metrics_file):
            os.utime(file, (1e9 - age, 1e9 - age))
    return Records(tmp_path)


@pytest.fixture(scope="session")
def url(root: Path) -> Iterator[str]:
    """URL of a page over `root`. Importing Gradio and serving the page take about 5 s."""
    from resnet_cifar.ui.page import serve

    page = serve(root, "127.0.0.1", free_port(), wait=False)
    yield page.local_url
    page.close()


@contextmanager
def without_errors(browser, url: str, width: int = 1280) -> Iterator:
    """A window on a page whose scripts may not fail."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Error executing" in said.text else None)
    page.goto(url)
    yield page
    assert not errors
    page.close()


def free_port() -> int:
    """A port that is not in use, and that nobody takes before the page does.

    It is below those that the system hands out, and each worker of pytest has a thousand of its own.
    """
    return next(filter(_is_free, _ports))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 11_000 + 1_000 * _WORKER  # a browser opens no page at 10080
_ports = itertools.cycle(random.Random().sample(range(_FIRST, _FIRST + 1_000), 1_000))


TRIAL_SECONDS = 1.0
"""Limit of a trial on the pages of tests, which show an estimate; whether it is right is tested in `training`."""

SERVE = f"""
import sys
from pathlib import Path
from resnet_cifar.system.imports import uncollected
with uncollected():
    from resnet_cifar.training import estimate
    from resnet_cifar.ui.page import serve
assert "torchvision" not in sys.modules, "it takes a second of the page's start"
estimate.TRIAL_SECONDS = {TRIAL_SECONDS}
serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]))
"""


class App:
    """The page in its own process, which can be killed and started again."""

    def __init__(self, root: Path, script: str = SERVE) -> None:
        self.root = root
        self.script = script
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self, **options) -> None:
        self.process = spawn("-c", self.script, self.root, self.port, **options)
        assert self.process.stdout is not None
        while "the page is at" not in (line := self.process.stdout.readline()):
            assert line, "the page did not start"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def describe_run(page, epochs: int) -> None:
    """Fill in the form: `quick` with the tiny network, on synthetic images. An epoch takes about half a second."""
    page.get_by_label("quick", exact=True).check()
    page.get_by_label("advanced settings of the run").click()
    page.get_by_label("Architecture").select_option("tiny")
    page.get_by_label("Data", exact=True).select_option("synthetic")
    page.get_by_label("Train images").fill("4000")
    page.get_by_label("Epochs of stage 1").fill(str(epochs))


@pytest.fixture(scope="module")
def address(runs: Path) -> Iterator[str]:
    """Address of a page over the runs of a test file, which has a fixture `runs`."""
    from resnet_cifar.ui.page import serve

    app = serve(runs, "127.0.0.1", free_port(), wait=False)
    yield app.local_url
    app.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Chromium: the system's, or the one installed by `playwright install chromium`."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        try:
            browser = Chromium(playwright.chromium, tmp_path_factory.mktemp("profile"))
        except LookupError as error:
            pytest.skip(str(error))
        yield browser
        browser.close()


SCREENS = {
    "wide-light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "phone-dark": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}

on_both_screens = pytest.mark.parametrize("page", SCREENS, indirect=True)
"""For tests of what depends on the screen: layout, colours. All others see a phone, where controls have least room."""


def screen(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Options of `new_page`, for a fixture `page`."""
    webcam = request.node.get_closest_marker("webcam") is not None
    return {**SCREENS[getattr(request, "param", "phone-dark")], "webcam": webcam}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a failure what its pages showed."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("browser")
    if report.when == "call" and report.failed and browser is not None:
        report.sections += [(f"page {page.url}", page.evaluate(_SHOWN)) for page in browser.open_pages()]
    return report


_SHOWN = """() => [document.body.innerText, ...[...document.querySelectorAll("input, textarea")]
    .filter(box => box.checkVisibility()).map(box => `${box.ariaLabel ?? box.name}: ${box.value}`),
    ...performance.getEntriesByType("resource").filter(asked => asked.name.includes("/queue/")).slice(-12)
    .map(asked => `${asked.name.split("/").pop()} from ${asked.startTime | 0} to ${asked.responseEnd | 0} ms`),
    `now: ${performance.now() | 0} ms`].join("\\n")"""


@pytest.fixture(autouse=True)
def _no_page_outlives_its_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Or it would go on asking its server, and storage is only cleared while no page is open."""
    yield
    if "browser" in request.fixturenames:
        request.getfixturevalue("browser").close_pages()


@pytest.fixture(autouse=True)
def _no_trials(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every page asks what its form costs, and trials of it in this process would take more time than most tests.

    Pages in processes of their own run real ones, in `test_training.py` for example.
    """
    if "browser" in request.fixturenames:
        monkeypatch.setattr("resnet_cifar.training.estimate.try_out", lambda *_: Trial(1e13, 2**30))
