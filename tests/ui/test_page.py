"""The frame of the page: footer, width, borders, focus, in light and dark."""

import re
from pathlib import Path

import pytest

from resnet_cifar.hub.catalog import SHIPPED
from resnet_cifar.ui.page import serve
from tests.builders import checkpoint, recipe, told
from tests.ui.conftest import free_port


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser, url: str):
    page = browser.new_page(viewport={"width": 1920, "height": 1000}, color_scheme=request.param)
    page.goto(f"{url}#publish")
    page.get_by_label("Repo").wait_for()
    yield page
    page.close()


STYLES = """selector => [...document.querySelectorAll(selector)].filter(node => node.checkVisibility()).map(node => {
  const { borderTopColor, borderTopLeftRadius, borderTopWidth, outlineStyle, outlineWidth } = getComputedStyle(node);
  return { borderTopColor, borderTopLeftRadius, borderTopWidth, outlineStyle, outlineWidth };
})"""
BACKGROUND = "getComputedStyle(document.querySelector('#publish-tab .block')).backgroundColor"


def luminance(colour: str) -> float:
    """Relative luminance of an `rgb()` colour (WCAG 2, section 1.4.3)."""
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_controls_can_be_told_from_the_card_and_have_one_radius_and_one_focus_ring(page):
    controls = page.evaluate(STYLES, "#publish-tab :is(.wrap:has(> .wrap-inner), input[type=text], textarea, #dry-run)")
    background = page.evaluate(BACKGROUND)
    assert len(controls) >= 3
    for style in controls:
        assert style["borderTopWidth"] == "1px" and contrast(style["borderTopColor"], background) >= 3, style
        assert style["borderTopLeftRadius"] == "10px"
    rings = []
    page.get_by_label("Repo").focus()
    for _ in range(6):
        page.keyboard.press("Tab")
        page.wait_for_timeout(250)  # buttons fade their ring in
        rings += page.evaluate(STYLES, ":focus")
    assert {(ring["outlineStyle"], ring["outlineWidth"]) for ring in rings} == {("solid", "2px")}


def test_the_footer_opens_the_page_of_the_model_that_ships(browser, tmp_path: Path):
    """Serves a page of its own: about 4 s."""
    told(tmp_path / SHIPPED, recipe())
    checkpoint(tmp_path / SHIPPED, image_size=32)
    served = serve(tmp_path, "127.0.0.1", free_port(), wait=False)
    page = browser.new_page()
    page.goto(served.local_url)
    page.get_by_role("link", name="The model that ships").click()
    page.locator("#view h2", has_text=SHIPPED).wait_for()
    page.locator(".run-page", has_text="Files").wait_for()
    page.close()
    served.close()


def test_a_wide_screen_is_used_and_the_footer_opens_the_api(page):
    assert page.evaluate("document.querySelector('#tabs').clientWidth") >= 1500
    links = page.locator("#footer a")
    assert {link.get_attribute("href").split("/")[2] for link in links.all()[1:]} == {"arxiv.org", "www.cs.toronto.edu"}
    page.get_by_role("link", name="API").click()
    page.get_by_role("heading", name="API documentation").wait_for()
    assert page.get_by_text("/classify").first.is_visible()
