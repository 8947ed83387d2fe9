"""The pictures of the README and its pages, from a page that is being served, of a user with something to show.

interest demo --scenario news &
python -m tests.screenshots http://127.0.0.1:9180 deploy/images
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from PIL import Image

from tests.pages import ask, chromium

LONG_MS, LIVE_S = 180_000, 12.0
COLOURS = 256
DESK, TALL, PHONE = {"width": 1280, "height": 900}, {"width": 1280, "height": 1330}, {"width": 360, "height": 740}


def main(
    url: Annotated[str, typer.Argument(help="Where the page is.")],
    folder: Annotated[Path, typer.Argument(help="Where the pictures go.")],
    user: Annotated[str, typer.Option(help="Whom to show; without it who has done most of those of late.")] = "",
) -> None:
    """Take them all; each shows the page after it was open for some seconds."""
    _, found = ask(f"{url}/api/users")
    user = user or max(found["users"], key=lambda one: one["events"])["user"]
    with chromium() as browser:
        for name, path, scheme, size, act in (
            ("page-light", f"/#/user/{quote(user, safe='')}", "light", TALL, _wait),
            ("page-what-if", f"/#/user/{quote(user, safe='')}", "light", DESK, _wonder),
            ("page-dark", f"/#/user/{quote(user, safe='')}", "dark", DESK, _wait),
            ("page-phone", f"/#/user/{quote(user, safe='')}", "light", PHONE, _wait),
            ("page-map", f"/#/map/{quote(user, safe='')}", "light", DESK, _wait),
            ("page-system", "/#/system", "dark", DESK, _wait),
        ):
            _shoot(browser, url + path, folder / f"{name}.png", scheme, size, act)


def _shoot(browser: Any, url: str, file: Path, scheme: str, size: dict[str, int], act: Callable[[Any], None]) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(LONG_MS)
    page.goto(url)
    page.locator("#link[data-state=live]").wait_for()
    act(page)
    page.evaluate("scrollTo(0, 0)")  # or the head, which stays in sight, would lie in the middle
    if act is _wonder:
        page.get_by_role("region", name="What would change if").screenshot(path=file)
    else:
        page.screenshot(path=file, full_page=size is DESK)
    context.close()
    shrink(file)
    print(f"{file}: {file.stat().st_size / 1000:.0f} kB")  # noqa: T201


def shrink(file: Path) -> None:
    """To the colours that it has, more or less."""
    with Image.open(file) as picture:
        fewer = picture.convert("RGB").quantize(COLOURS, kmeans=3, dither=Image.Dither.NONE)
    fewer.save(file, optimize=True)


def _wait(_page: Any) -> None:
    time.sleep(LIVE_S)


def _wonder(page: Any) -> None:
    """What would change if."""
    page.get_by_role("button", name="Try it").click()
    page.locator(".whatif").wait_for()
    page.locator(".chip[data-does='take away']").first.click()
    page.get_by_text("The interest turns by").wait_for()
    time.sleep(1)


if __name__ == "__main__":
    typer.run(main)
