"""Guidelines in a real browser: shown as they were typed, published in versions, and named by each judgement."""

from __future__ import annotations

import pytest

from burnish.studio.projects import publish
from tests.studio.browser.studio_served import until
from tests.studio.studio_people import compare, items

pytestmark = pytest.mark.studio

FIRST = "Read **everything**.\n\n- One thing.\n  - A part of it.\n- Another.\n\n1. Last <b>of all</b>."
SECOND = "Read it twice.\n\n* Then judge."


def project(served, slug: str, count: int) -> None:
    with served.write() as session:
        made = compare(session, slug=slug, overlap=1)
        publish(session, made, FIRST, author_id=None, now=0)
        items(session, made, count)


def test_paragraphs_and_lists_stand_as_they_were_typed(served, visit):
    """Markdown stays what it is; a line that is too long for the room goes on in the next one."""
    project(served, "typed", 1)
    for options in ({}, {"viewport": {"width": 390, "height": 760}}):
        page = visit("Ada", **options)
        page.goto(f"{served.address}/projects/typed/guidelines")
        assert page.locator(".prose").inner_text().strip() == FIRST
        page.goto(f"{served.address}/projects/typed/work")
        page.wait_for_selector("#work[data-item]")
        page.evaluate("document.getElementById('guidelines').open = true")
        assert page.locator("#guideline-text").inner_text().strip() == FIRST
    page.locator("#guideline-text").evaluate("(node) => { node.style.whiteSpace = 'normal'; }")
    assert "\n" not in page.locator("#guideline-text").inner_text().strip()


def test_a_judgement_names_the_version_that_was_shown_beside_it(served, visit):
    project(served, "versions", 3)
    ada = visit("Ada")
    ada.goto(f"{served.address}/projects/versions/work")
    ada.wait_for_selector("#work[data-item]")
    first = ada.get_attribute("#work", "data-item")
    ada.wait_for_timeout(500)  # the next item is fetched ahead, with the guidelines of then

    eva = visit("Eva", role="admin")
    eva.goto(f"{served.address}/projects/versions/settings")
    form = eva.locator("form", has_text="Publish")
    form.get_by_label("Version 2").fill(SECOND)
    with eva.expect_navigation():
        form.get_by_role("button", name="Publish").click()
    assert form.get_by_label("Version 3").input_value() == SECOND

    seen: list[str] = []
    for number in range(3):
        item = ada.get_attribute("#work", "data-item")
        seen.append(ada.locator("#guideline-version").text_content())
        ada.keyboard.press("1")
        ada.keyboard.press("Enter")
        ada.wait_for_selector(f"#work:not([data-item='{item}']), #rest")
        until(lambda judged=number + 1: len(served.judgements("versions")) == judged)
        ada.wait_for_timeout(200)
    assert (seen[0], seen[-1]) == ("1", "2")
    assert ada.locator("#guideline-text").inner_text().strip() == SECOND
    judged = served.judgements("versions")
    assert str(judged[0].item_id) == first
    assert [str(one.guideline_version) for one in judged] == seen
