"""A browser whose pages share one profile, so that gradio's and plotly's scripts are downloaded and compiled once."""

from pathlib import Path
from typing import Any

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
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

    def __init__(self, kind: Any, executable: str | None, profile: Path) -> None:
        self._kind = kind
        self._options = {"executable_path": executable, "args": ARGUMENTS}
        self._profile = profile
        self._shared = self._open()
        self._apart: Any = None

    def _open(self) -> Any:
        return self._kind.launch_persistent_context(self._profile, **self._options)

    def new_page(self, *, viewport: dict[str, int] | None = None, color_scheme: str = "light") -> Any:
        """Open an empty page in the profile. Pages that are open at the same time share their storage."""
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
        page.set_viewport_size(viewport or {"width": 1280, "height": 720})
        page.emulate_media(color_scheme=color_scheme)
        return page

    def new_context(self, **options: Any) -> Any:
        """Open a profile of its own, for several visitors. Its first page takes a second longer."""
        self._apart = self._apart or self._kind.launch(**self._options)
        return self._apart.new_context(**options)

    def another(self, arguments: list[str]) -> Any:
        """Start another browser, with other arguments; whoever asked for it closes it."""
        return self._kind.launch(executable_path=self._options["executable_path"], args=arguments)

    def close_pages(self) -> None:
        for page in self._shared.pages[1:]:
            page.close()

    def close(self) -> None:
        self._shared.close()
        if self._apart:
            self._apart.close()


def requests_elsewhere(page: Any, url: str) -> list[str]:
    """The page's requests to other hosts than that of `url`, a list that grows."""
    found: list[str] = []

    def note(request: Any) -> None:
        if request.url.startswith("http") and not request.url.startswith(url):
            found.append(request.url)

    page.on("request", note)
    return found
