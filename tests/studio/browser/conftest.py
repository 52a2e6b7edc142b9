"""One Chromium and one studio for the tests of a module, and pages of people who are signed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.studio.browser.studio_filled import fill_all
from tests.studio.browser.studio_served import Served

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """The browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    """A studio that the module's tests share."""
    made = Served(tmp_path_factory.mktemp("served") / "studio")
    yield made
    made.stop()


@pytest.fixture
def visit(served, chromium) -> Iterator[Callable[..., object]]:
    """Opens a page for somebody, signed in unless the name is empty; a role and the browser's options may follow.

    A script's error, a dialog that nobody agreed to, or a breach of the content security policy fails the test.
    """
    contexts: list[object] = []
    wrong: list[str] = []

    def opened(name: str = "", *, role: str = "annotator", agrees: bool = False, **options: object):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 820}, **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        if name:
            served.person(name, role)
            context.add_cookies([served.cookie(name)])
        page = context.new_page()
        page.on("dialog", answered(agrees))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if "Content Security Policy" in line.text else None)
        return page

    def answered(agrees: bool) -> Callable[..., None]:
        def answer(dialog) -> None:
            if agrees:
                dialog.accept()
            else:
                wrong.append(dialog.message)
                dialog.dismiss()

        return answer

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def filled(served) -> Served:
    """The same studio, full of sample work."""
    fill_all(served)
    return served
