"""The page as people meet it: in a real Chromium, by keyboard, in the dark, on a phone, and under attack."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe

from stream_app.local import LocalKafka
from stream_app.settings import Settings, Web
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user
from tests.pages import Pages, chromium
from tests.town import Town, recommended

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

TOKEN = "t" * 32
HOSTILE = '<img src=x onerror="document.title=1">'
HOSTILE_USER = 'u"><script>document.title=1</script>'
PHONE = {"width": 360, "height": 740}
WAIT_MS = 60_000
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def worker(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Member]:
    """Shared by the module: tests use users of their own."""
    folder = tmp_path_factory.mktemp("chromium")
    url = redis_url.removesuffix("0") + "8"
    model = catalogue_model(folder / "models", 40, topics=(HOSTILE, *(f"topic {number}" for number in range(18))))
    settings = member_settings(kafka.bootstrap, url, model, unique("chromium"), folder)
    make_topics(settings)
    town = Town(settings)  # which says that another model serves, until the worker says which
    town.items(bad=HOSTILE)
    town.user(HOSTILE_USER, {"Drama": 1.0}, recommended("bad", HOSTILE, "bad"))
    with Member(settings, folder / "worker.log", nursery) as member:
        member.wait_ready()
        yield member


@pytest.fixture(scope="module")
def service(worker: Member) -> Iterator[Neighbour]:
    neighbour = Neighbour(worker.settings)
    yield neighbour
    neighbour.close()


@pytest.fixture(scope="module")
def user(service: Neighbour) -> str:
    """Somebody with a history."""
    name = new_user()
    for item in range(5):
        service.send("click", name, item_id=f"i{item}")
    service.send("rating", name, item_id="i1", rating=5)
    service.events_of(name, 6)
    return name


@pytest.fixture(scope="module")
def pages(worker: Member) -> Iterator[Pages]:
    with Pages(of_web(worker.settings)) as served:
        yield served


def of_web(settings: Settings, **changes: object) -> Settings:
    url = f"http://127.0.0.1:{settings.metrics.port}/metrics"
    given = {"port": 0, "metrics_urls": (url,), "what_if": "changelog", **changes}
    return settings.model_copy(update={"web": Web.model_validate(given)})


@pytest.fixture(scope="module")
def browser(pages: Pages) -> Iterator[Any]:
    """Begun last: while it runs, nobody else in this thread can run an event loop."""
    with chromium() as one:
        yield one


class Tab:
    """A page, and what went wrong in it."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page, self.url, self.wrong = self.context.new_page(), url, list[str]()
        self.page.set_default_timeout(WAIT_MS)
        self.page.on("console", lambda said: self.wrong.append(said.text) if said.type != "log" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda asked: None if asked.url.startswith(url) else self.wrong.append(asked.url))

    def open(self, path: str) -> Any:
        self.page.goto(self.url + path)
        return self.page


@pytest.fixture
def tab(browser: Any, pages: Pages) -> Iterator[Callable[..., Tab]]:
    """Opens tabs; at the end none may have complained, nor asked anybody else for anything."""
    opened: list[Tab] = []

    def one(url: str = pages.url, **options: Any) -> Tab:
        opened.append(Tab(browser, url, **options))
        return opened[-1]

    yield one
    for each in opened:
        each.context.close()
    assert [said for each in opened for said in each.wrong] == []


def show(tab: Tab, user: str) -> Any:
    page = tab.open(f"/#/user/{quote(user, safe='')}")
    page.locator(".bars .bar").first.wait_for()
    return page


def bars(page: Any) -> list[str]:
    found: list[str] = page.locator(".at-topics .bar, [aria-label='Topics'] .bar").all_inner_texts()
    return found


def test_a_search_shows_somebody_and_an_event_moves_the_bars(
    tab: Callable[..., Tab], service: Neighbour, user: str
) -> None:
    page = tab().open("/")
    page.get_by_label("User id").fill(user)
    page.get_by_role("button", name="Show").click()
    page.get_by_role("heading", name=user).wait_for()
    page.evaluate("window.stayed = true")
    before = bars(page)
    assert len(before) == 10
    radar = page.locator(".radar-shape.vector").get_attribute("points")
    for item in ("i20", "i21", "i22"):
        service.send("click", user, item_id=item)
    service.flush()
    page.wait_for_function(
        "before => JSON.stringify([...document.querySelectorAll(\"[aria-label='Topics'] .bar\")].map(e => e.innerText))"
        " !== before",
        arg=json.dumps(before, separators=(",", ":"), ensure_ascii=False),
    )
    page.wait_for_function(
        "was => document.querySelector('.radar-shape.vector').getAttribute('points') !== was", arg=radar
    )
    assert page.evaluate("window.stayed")
    assert page.locator(".windows tbody tr").count() == 4


def test_the_last_clicks_and_the_windows_by_time_are_told_from_the_state(
    tab: Callable[..., Tab], service: Neighbour
) -> None:
    user = new_user()
    for item in ("i1", "i2", "i3"):
        service.send("click", user, item_id=item)
    service.events_of(user, 3)
    page = show(tab(), user)
    clicked = page.get_by_role("region", name="Clicked of late")
    clicked.get_by_text("the last ones").wait_for()
    assert clicked.get_by_role("listitem").all_inner_texts() == ["i3", "i2", "i1"]
    line = page.locator(".windows tbody tr").nth(3).locator(".spark-line")
    assert line.get_attribute("d").count("L") == 29  # a point for each of 30 days

    service.send("click", user, item_id="i4")
    service.flush()
    clicked.get_by_role("listitem").filter(has_text="i4").wait_for()


def test_who_is_listed_can_be_clicked(tab: Callable[..., Tab], user: str) -> None:
    page = tab().open("/")
    page.locator(".people a", has_text=user).click()
    page.get_by_role("heading", name=user).wait_for()


def test_nobody_is_said_to_be_nobody(tab: Callable[..., Tab]) -> None:
    page = tab().open("/#/user/no-such-user")
    page.get_by_role("heading", name="Nobody here").wait_for()


def test_what_people_and_items_are_called_stays_text(tab: Callable[..., Tab]) -> None:
    one = tab()
    page = show(one, HOSTILE_USER)
    assert page.get_by_role("heading", level=1).inner_text() == HOSTILE_USER
    assert page.locator(".offer-title").first.inner_text() == HOSTILE
    assert HOSTILE in page.locator(".offer-why").first.inner_text()
    page.get_by_role("button", name="Tell it in words").click()
    page.locator(".paragraph", has_text="Drama").wait_for()
    one.open("/#/map").locator(".legend-name", has_text="<img").wait_for()
    one.open("/").locator(".people .who", has_text=HOSTILE_USER).wait_for()
    assert page.locator("main img, main script, svg img").count() == 0
    assert page.title() != "1"


def test_what_would_change_if(tab: Callable[..., Tab], user: str, service: Neighbour) -> None:
    service.until_committed()
    page = show(tab(), user)
    page.get_by_role("button", name="Try it").click()
    page.get_by_text("Nothing is changed yet").wait_for(timeout=2 * WAIT_MS)
    page.get_by_label("Words of an item's title").fill("i30")
    page.locator(".hit", has_text="i30").click()
    page.get_by_text("The interest turns by").wait_for()
    page.get_by_role("button", name="take away: i4").click()
    page.wait_for_function("document.querySelector('.chip[aria-label=\"take away: i4\"]').ariaPressed === 'true'")
    assert page.locator(".compared .bar").count() == 8


def test_the_system_page_shows_the_worker(tab: Callable[..., Tab], worker: Member) -> None:
    page = tab().open("/#/system")
    page.get_by_text(f"worker at 127.0.0.1:{worker.settings.metrics.port}").wait_for()
    page.locator(".stages th", has_text="readout").wait_for()
    assert page.locator(".flow-node").count() == 9


def test_by_keyboard_alone(tab: Callable[..., Tab], user: str) -> None:
    page = tab().open("/")
    page.get_by_role("heading", level=1).wait_for()
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    keys.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    keys.press("/")
    assert page.evaluate("document.activeElement.id") == "user-id"
    keys.type(user)
    keys.press("Enter")
    page.get_by_role("heading", name=user).wait_for()
    assert page.evaluate("document.activeElement.id") == "main"
    met = set()
    for _ in range(12):
        keys.press("Tab")
        met.add(page.evaluate("(document.activeElement.ariaLabel || document.activeElement.textContent).trim()"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", met
        if "Tell it in words" in met:
            break
    assert {"Show", "Try it", "Open the map", "Tell it in words"} <= met


@pytest.mark.parametrize("path", ["/", "/#/user/{user}", "/#/map/{user}", "/#/system"])
def test_on_a_phone_nothing_is_wider_than_the_screen(tab: Callable[..., Tab], user: str, path: str) -> None:
    page = tab(viewport=PHONE).open(path.format(user=user))
    page.locator("#link[data-state=live]").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_dark_as_the_system_asks_or_as_is_chosen(tab: Callable[..., Tab]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page = tab(color_scheme="dark").open("/")
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Dark colours").click()
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == light
    assert tab(color_scheme="light").open("/").evaluate(ground) == light


def test_who_wants_nothing_to_move_is_heard(tab: Callable[..., Tab], user: str) -> None:
    page = show(tab(reduced_motion="reduce"), user)
    assert page.evaluate("getComputedStyle(document.querySelector('.bar-fill')).transitionDuration") in ("0s", "")


def test_the_token_is_typed_once(tab: Callable[..., Tab], worker: Member, user: str) -> None:
    with Pages(of_web(worker.settings, token=TOKEN)) as guarded:
        one = tab(guarded.url)
        page = one.open("/")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("alert").wait_for()
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.get_by_label("User id").fill(user)
        page.keyboard.press("Enter")
        page.locator(".bars .bar").first.wait_for()
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Token").wait_for()
        page.wait_for_load_state("networkidle")  # or what the page still loads is refused by a server that has ended
        page.goto("about:blank")
        one.wrong[:] = [said for said in one.wrong if "401 (Unauthorized)" not in said]  # of the first answer


# -- for people who hear it, or see little


def violations(page: Any) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found if one["impact"] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/#/user/{user}", "/#/user/nobody", "/#/map/{user}", "/#/system"])
def test_axe_finds_nothing_serious(tab: Callable[..., Tab], user: str, path: str, scheme: str) -> None:
    page = tab(color_scheme=scheme, bypass_csp=True, reduced_motion="reduce").open(path.format(user=user))
    page.locator("#link[data-state=live]").wait_for()
    page.locator("main h1").wait_for()
    assert violations(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_login_page(tab: Callable[..., Tab], worker: Member, scheme: str) -> None:
    with Pages(of_web(worker.settings, token=TOKEN)) as guarded:
        one = tab(guarded.url, color_scheme=scheme, bypass_csp=True)
        assert violations(one.open("/login?wrong")) == []


def test_axe_would_find_what_is_serious(tab: Callable[..., Tab]) -> None:
    """The control: a button that nobody can hear of, and text that nobody can see."""
    page = tab(bypass_csp=True).open("/")
    page.get_by_role("heading", level=1).wait_for()
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    page.evaluate("document.querySelector('h1').style.color = '#eeeeec'")
    assert {one.partition(":")[0] for one in violations(page)} == {"button-name", "color-contrast"}


def test_the_policy_would_stop_a_script(browser: Any, pages: Pages) -> None:
    """The control: were a name to become markup after all, nothing of it would run."""
    one = Tab(browser, pages.url)
    page = one.open("/")
    page.get_by_role("heading", level=1).wait_for()
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.querySelector('main').innerHTML = '<img src=x onerror=alert(1)>'")
    ran = page.evaluate(
        "() => { const s = document.createElement('script'); s.append('window.ran = true');"
        " document.body.append(s); return Boolean(window.ran) }"
    )
    assert not ran
    one.context.close()
