"""What axe-core finds on a page by the rules of WCAG 2.1, levels A and AA."""

import pytest

_OPTIONS = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "preload": False,  # of style sheets, for a rule about turned screens
}


def serious(page) -> list[tuple[str, str]]:
    """Return each serious or critical violation of what is shown, with the first node that it is about."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options=_OPTIONS).response["violations"]
    return [(v["id"], v["nodes"][0]["html"][:160]) for v in found if v["impact"] in ("serious", "critical")]
