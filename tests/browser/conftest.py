"""A real Chromium, Debian's own, on pages of a real worker."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ARTIFACTS = Path(__file__).parents[2] / "artifacts"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"

DESKTOP = (1440, 900)
LAPTOP = (1280, 720)
PHONE = (390, 844)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Give the browser; without one these tests say so and skip."""
    if CHROMIUM is None:
        pytest.skip("not covered: the pages (Chromium is not installed: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


Open = Callable[..., "Visit"]


class Visit:
    """An open page, and what went wrong on it: errors, refused scripts, requests to other hosts."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._hear)
        page.on("request", self._see)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _see(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.foreign.append(request.url)

    def go(self, path: str) -> "Visit":
        """Open a path and wait until the page is live."""
        self.page.goto(self.origin + path)
        self.page.wait_for_selector(".connection.live", timeout=15_000)
        return self

    def text(self, selector: str) -> str:
        """Return an element's text."""
        return self.page.locator(selector).inner_text()

    def axe(self) -> list[dict[str, Any]]:
        """Return what axe finds serious or critical."""
        # As a debugger's evaluation, which the page's own policy does not stop.
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
        return [
            {"id": one["id"], "nodes": [node["html"][:200] for node in one["nodes"][:3]]}
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Give a function that opens pages of a worker at a port; at the end nothing may have gone wrong on them."""
    contexts, visits = [], []

    def open_page(
        port: int,
        path: str = "/",
        *,
        theme: str = "dark",
        size: tuple[int, int] = DESKTOP,
        live: bool = True,
        motion: bool = False,
    ) -> Visit:
        width, height = size
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            reduced_motion="no-preference" if motion else "reduce",
        )
        contexts.append(context)
        visit = Visit(context.new_page(), f"http://127.0.0.1:{port}")
        visits.append(visit)
        if live:
            visit.go(path)
        else:
            visit.page.goto(visit.origin + path)
        return visit

    yield open_page
    for context in contexts:
        context.close()
    for one in visits:
        assert one.foreign == []
        assert one.errors == []
