"""The built site in headless Chromium: no other host, no errors, and everything that moves works."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

PHONE = {"width": 390, "height": 844}


class Watched:
    """A page that refuses every request to another host and keeps what went wrong."""

    def __init__(self, chromium: Browser, url: str, **options: object) -> None:
        self.page: Page = chromium.new_context(**options).new_page()
        self.url = url
        self.faults: list[str] = []
        self.page.route("**/*", self._judge)
        self.page.on("console", lambda message: message.type == "error" and self._note(f"console: {message.text}"))
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))
        self.page.on("response", lambda answer: answer.status >= 400 and self._note(f"{answer.status}: {answer.url}"))

    def open(self, name: str) -> Page:
        self.page.goto(f"{self.url}{name}.html", wait_until="load")
        self.page.wait_for_function("document.documentElement.dataset.theme")
        return self.page

    def _judge(self, route) -> None:
        if route.request.url.startswith((self.url, "data:", "blob:")):
            route.continue_()
        else:
            self._note(f"other host: {route.request.url}")
            route.abort()

    def _note(self, fault: str) -> None:
        self.faults.append(f"{self.page.url.removeprefix(self.url)}: {fault}")


@pytest.fixture
def visitor(chromium, url):
    watched = Watched(chromium, url, viewport={"width": 1440, "height": 900}, color_scheme="light")
    yield watched
    watched.page.context.close()


@pytest.fixture
def phone(chromium, url):
    watched = Watched(chromium, url, viewport=PHONE, is_mobile=True, device_scale_factor=2)
    yield watched
    watched.page.context.close()


def test_pages_load_without_errors_and_without_another_host(visitor, pages):
    for name in [*pages, "search", "genindex"]:
        visitor.open(name)
    assert visitor.faults == []


def test_the_top_address_leads_to_the_home_page(visitor, url):
    visitor.page.goto(url)
    visitor.page.wait_for_url("**/book/index.html")
    expect(visitor.page.locator("article h1")).to_contain_text("Machine learning on Amazon SageMaker")


def test_no_page_scrolls_sideways_on_a_phone(phone, pages):
    wide = {}
    for name in pages:
        width = phone.open(name).evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            wide[name] = width
    assert wide == {}


def test_figures_have_a_size(visitor, pages):
    empty = []
    for name in pages:
        page = visitor.open(name)
        page.evaluate("document.querySelectorAll('details').forEach(element => { element.open = true })")
        for image in page.locator("article img").all():
            width = image.evaluate("async element => { await element.decode(); return element.naturalWidth }")
            if not width or not image.bounding_box() or min(list(image.bounding_box().values())[2:]) < 20:
                empty.append(f"{name}: {image.get_attribute('src')}")
    assert empty == []


def test_formulas_are_typeset(visitor, pages):
    untypeset = []
    for name in pages:
        page = visitor.open(name)
        if page.locator("article .math").count():
            page.wait_for_timeout(100)
            page.wait_for_function("window.MathJax?.startup?.promise")
            page.evaluate("() => MathJax.startup.promise")
            if page.locator("article .math").count() > page.locator("article mjx-container").count():
                untypeset.append(name)
    assert untypeset == []
    assert visitor.faults == []


def test_search_finds_a_term_of_the_glossary(visitor):
    page = visitor.open("book/setup")
    page.goto(f"{visitor.url}search.html?q=calibration")
    # Results are listed one after another.
    expect(page.locator("#search-results li a[href*=glossary]").first).to_be_visible()
    assert visitor.faults == []


def test_dark_mode_is_a_click_away_and_stays(visitor):
    page = visitor.open("book/setup")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    for _ in range(3):
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        page.locator("button.theme-switch-button:visible").first.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate(background) != light
    assert visitor.open("book/index").evaluate("document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_code_is_legible(chromium, url, scheme):
    """Every token of the setup page's code has a contrast of at least 4.5 to its ground (WCAG AA)."""
    watched = Watched(chromium, url, color_scheme=scheme)
    page = watched.open("book/setup")
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    faint = page.evaluate(
        """() => {
            const light = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
                    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            return [...document.querySelectorAll('article pre span')].filter(span => span.textContent.trim())
                .map(span => {
                    const pair = [getComputedStyle(span).color, getComputedStyle(span.closest('pre')).backgroundColor];
                    const [low, high] = pair.map(light).sort((a, b) => a - b);
                    return [span.textContent, (high + 0.05) / (low + 0.05)];
                }).filter(([, contrast]) => contrast < 4.5);
        }"""
    )
    watched.page.context.close()
    assert faint == []


def test_a_quiz_judges_the_first_choice_and_explains_it(visitor, pages):
    quizzes = [name for name in pages if name.endswith("/quiz")]
    assert quizzes
    for name in quizzes:
        page = visitor.open(name)
        questions = page.locator("form.quiz fieldset")
        assert questions.count() >= 5
        for number, verdict in ((0, "right"), (1, "wrong")):
            question = questions.nth(number)
            expect(question.locator(".quiz-feedback")).to_be_empty()
            question.locator(f"input[data-verdict={verdict}]").first.check()
            expect(question.locator(".quiz-feedback")).to_contain_text(verdict.capitalize())
    assert visitor.faults == []
