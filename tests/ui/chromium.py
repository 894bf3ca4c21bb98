"""A browser whose pages share one profile, so that gradio's and plotly's scripts are downloaded and compiled once.

Pages open in Chromium's headless shell, where there is one: it draws the same with a third less work. It has no webcam.
"""

import shutil
from pathlib import Path
from typing import Any

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--renderer-process-limit=1",  # a page uses what the page before it has compiled
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a webcam; a test must still allow a page to use it
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # no other host is reached
]
_STORED = "cookies,indexeddb,local_storage,session_storage"
_REAL_TIME = "setTimeout.toString().includes('[native code]')"


class Chromium:
    """Opens pages. Each finds neither storage nor permissions nor a replaced clock of an earlier page."""

    def __init__(self, kind: Any, profile: Path) -> None:
        """Raises LookupError if there is no Chromium."""
        self._kind = kind
        shell, self._whole = _installed(kind)
        self._options = {**shell, "args": ARGUMENTS}
        self._profile = profile
        self._shared = self._open()
        self._apart: Any = None
        self._filmed: Any = None

    def _open(self) -> Any:
        return self._kind.launch_persistent_context(self._profile, **self._options)

    def new_page(
        self, *, viewport: dict[str, int] | None = None, color_scheme: str = "light", webcam: bool = False
    ) -> Any:
        """Open an empty page in the profile. Pages that are open at the same time share their storage.

        webcam: in a browser that has one, with a profile of its own.
        """
        viewport = viewport or {"width": 1280, "height": 720}
        if webcam:
            self._filmed = self._filmed or self.another(ARGUMENTS)
            return _patient(self._filmed.new_page(viewport=viewport, color_scheme=color_scheme))
        alone = len(self._shared.pages) == 1  # the first one stays empty, and keeps the profile open
        page = self._shared.new_page()
        if not page.evaluate(_REAL_TIME):  # a context keeps a replaced clock
            self._shared.close()
            self._shared = self._open()
            page = self._shared.new_page()
        if alone:
            self._shared.clear_permissions()
            developer = self._shared.new_cdp_session(page)
            developer.send("Storage.clearDataForOrigin", {"origin": "*", "storageTypes": _STORED})
            developer.detach()
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme)
        return _patient(page)

    def new_context(self, **options: Any) -> Any:
        """Open a profile of its own, for several visitors. Its first page takes a second longer."""
        self._apart = self._apart or self._kind.launch(**self._options)
        return _patient(self._apart.new_context(**options))

    def another(self, arguments: list[str]) -> Any:
        """Start another browser, a whole one, with other arguments; whoever asked for it closes it."""
        return self._kind.launch(**self._whole, args=arguments)

    def open_pages(self) -> list[Any]:
        return list(self._shared.pages[1:])

    def close_pages(self) -> None:
        for page in self.open_pages():
            page.close()

    def close(self) -> None:
        for browser in filter(None, (self._shared, self._apart, self._filmed)):
            browser.close()


def _patient(opened: Any) -> Any:
    """Let a page, or all of a context, fail only where it hangs; how fast it is, is measured where it is claimed."""
    opened.set_default_timeout(60_000)
    return opened


def _installed(kind: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Options that start the headless shell, and the whole browser: the system's, or those that playwright installed.

    Raises LookupError if there is no browser.
    """
    system = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if system:
        return {"executable_path": shutil.which("chromium-headless-shell") or system}, {"executable_path": system}
    if Path(kind.executable_path).exists():
        return {}, {"channel": "chromium"}
    raise LookupError("there is no Chromium: install it, or run `playwright install chromium`")


def requests_elsewhere(page: Any, url: str) -> list[str]:
    """The page's requests to other hosts than that of `url`, a list that grows."""
    found: list[str] = []

    def note(request: Any) -> None:
        if request.url.startswith("http") and not request.url.startswith(url):
            found.append(request.url)

    page.on("request", note)
    return found
