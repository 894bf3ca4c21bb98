"""The browser of these tests: what one page leaves behind, the next one does not find."""

SPECIAL = {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}


def test_pages_find_nothing_of_earlier_ones(browser, url: str):
    for number in range(2):
        page = browser.new_page(**(SPECIAL if number == 0 else {}))
        page.goto(f"{url}favicon.ico")
        assert page.evaluate("[localStorage.x, document.cookie]") == [None, ""]
        assert page.evaluate("async () => (await navigator.permissions.query({ name: 'camera' })).state") != "granted"
        assert page.evaluate("setTimeout.toString()").endswith("{ [native code] }")
        assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (number == 0)
        assert page.evaluate("innerWidth") == (390 if number == 0 else 1280)
        page.evaluate("localStorage.x = 1; document.cookie = 'y=2'")
        page.context.grant_permissions(["camera"], origin=url.rstrip("/"))
        page.clock.install()
        browser.close_pages()


def test_pages_that_are_open_together_and_other_visitors(browser, url: str):
    first, second = browser.new_page(), browser.new_page()
    for page in (first, second):
        page.goto(f"{url}favicon.ico")
    first.evaluate("localStorage.x = 1")
    assert second.evaluate("localStorage.x") == "1"
    context = browser.new_context()
    other = context.new_page()
    other.goto(f"{url}favicon.ico")
    assert other.evaluate("localStorage.x") is None
    context.close()
