"""The console in headless Chromium: hostile text stays text, everyone can read it, and it keeps itself up to date."""

import console_world
import pytest
from axe_playwright_python.sync_playwright import Axe
from console_world import World
from playwright.sync_api import Browser, Page, expect

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def world(server, client, role_arn):
    names = iter(range(1000))
    made = console_world.make(server, client, role_arn, lambda prefix: f"{prefix}-browser{next(names)}")
    yield made
    client("sagemaker").delete_endpoint(EndpointName=made.endpoint)
    client("cloudwatch").delete_alarms(AlarmNames=[made.alarm])


class Watched:
    """A page of Chromium that notes down what goes wrong, and what asks for another host."""

    def __init__(self, chromium: Browser, world: World, **options: object) -> None:
        self.world, self.faults = world, []
        self.context = chromium.new_context(**options)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", lambda request: self._judge(request.url))

    def open(self, name: str) -> Page:
        """A page of the world, by its name."""
        self.page.goto(self.world.url + self.world.pages[name])
        return self.page

    def _judge(self, url: str) -> None:
        if not url.startswith(self.world.url):
            self.faults.append(f"other host: {url}")


@pytest.fixture
def visitor(chromium, world):
    watched = Watched(chromium, world, viewport=WIDE)
    yield watched
    watched.context.close()


def test_hostile_text_never_runs(visitor, world):
    for name in world.pages:
        page = visitor.open(name)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        page.wait_for_timeout(50)
        assert page.evaluate("window.pwned") is None, name
        assert not page.locator("main script, main img, [onload], [onerror], [onfocus], [href^=javascript]").count(), (
            name
        )
    missing = [fault for fault in visitor.faults if "404" not in fault]
    assert missing == [], "a violation of the policy is an error too"


def test_a_stored_page_does_not_run_as_the_server_that_keeps_it(chromium, world, client):
    """Script in an object of S3 would otherwise have the console's origin, and could call the server."""
    page_with_script = "<title>kept</title><h1>shown</h1><script>document.title = 'run'</script>"
    s3 = client("s3")
    kept = {"Bucket": world.bucket, "Key": "page.html"}
    s3.put_object(Body=page_with_script, ContentType="text/html", **kept)
    page = chromium.new_page()
    page.goto(s3.generate_presigned_url("get_object", Params=kept))
    expect(page.locator("h1")).to_have_text("shown")
    assert page.title() == "kept"
    assert page.evaluate("window.origin") == "null"
    page.close()


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"viewport": WIDE}, {"runOnly": RULES}),
        ({"viewport": WIDE, "color_scheme": "dark"}, {"runOnly": {"type": "rule", "values": ["color-contrast"]}}),
        ({"viewport": PHONE}, {"runOnly": {"type": "rule", "values": ["color-contrast", "target-size"]}}),
    ],
    ids=["wide", "dark", "phone"],
)
def test_axe_finds_no_barrier(chromium, world, options, rules):
    """Contrast, landmarks, headings, names, tables and focus, by axe-core."""
    watched, found = Watched(chromium, world, **options), {}
    for name in world.pages:
        violations = Axe().run(watched.open(name), options=rules).response["violations"]
        if violations:
            found[name] = [(each["id"], [node["html"][:200] for node in each["nodes"][:3]]) for each in violations]
    watched.context.close()
    assert found == {}


def test_no_page_scrolls_sideways_on_a_phone(chromium, world):
    watched = Watched(chromium, world, viewport=PHONE, is_mobile=True)
    widths = {name: watched.open(name).evaluate("document.documentElement.scrollWidth") for name in world.pages}
    watched.context.close()
    assert {name: width for name, width in widths.items() if width > PHONE["width"]} == {}


def test_the_keyboard_alone_is_enough(visitor):
    page = visitor.open("training jobs")
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    expect(skip).to_be_focused()
    assert skip.bounding_box()["x"] >= 0, "the skip link is seen when it has the focus"
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.locator("nav[aria-label=Console] a").first.focus()
    page.keyboard.press("Tab")
    focused = page.evaluate(
        "(() => { const style = getComputedStyle(document.activeElement); "
        "return [document.activeElement.textContent, style.outlineStyle, style.outlineWidth]; })()"
    )
    assert focused == ["Endpoints", "solid", "2px"]
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Endpoints")


def test_pages_work_without_javascript(chromium, world):
    watched = Watched(chromium, world, java_script_enabled=False)
    for name in world.pages:
        page = watched.open(name)
        expect(page.locator("h1")).to_be_visible()
    page = watched.open("training jobs")
    page.get_by_label("Name contains").fill(world.trained)
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a").click()
    expect(page.locator("h1")).to_have_text(world.trained)
    watched.context.close()


def test_a_page_keeps_itself_up_to_date_until_it_is_paused(visitor, world, client):
    page = visitor.open("alarm")
    status = page.locator("#live-head .status")
    name = world.alarm
    client("cloudwatch").disable_alarm_actions(AlarmNames=[name])
    client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="OK", StateReason="set by the test <b>")
    expect(page.locator("#live-history")).to_contain_text("to OK", timeout=30_000)
    expect(status).to_be_visible()
    page.get_by_role("button", name="Live").click()
    expect(page.get_by_role("button", name="Paused")).to_have_attribute("aria-pressed", "false")
    assert [fault for fault in visitor.faults if "404" not in fault] == []
