"""The pages as a browser sets them: contrast, keys, a phone's width, text from right to left, also while it is written.

What is measured is what the browser computed (`measure.js`); a rule of WCAG 2.2 stands beside each number.
"""

from __future__ import annotations

import pytest

from burnish.studio.kinds import KINDS
from burnish.studio.pages_shortcuts import shortcuts
from tests.studio.browser.studio_filled import ANSWERS, MEASURE, PAGES, SAID, measured, opened

pytestmark = pytest.mark.studio


def low(page, path: str) -> list[str]:
    """The texts without the contrast of AA (1.4.3): 4.5, or 3 for large text."""
    found = measured(page, "texts")
    assert found
    return [f"{path} {one['of']} '{one['text']}' {one['ratio']:.2f}" for one in found if one["ratio"] < one["least"]]


def test_every_text_has_contrast_in_light_and_in_dark(filled, visit):
    page = visit("Eva", role="admin", reduced_motion="reduce")
    wrong: list[str] = []

    def look(path: str) -> None:
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            wrong.extend(low(page, f"{scheme} {path}"))

    for path in PAGES:
        opened(filled, page, path)
        look(path)
    opened(filled, page, "/projects/demo-compare/work")
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    page.wait_for_selector("#outbox", state="visible")
    page.keyboard.press("?")
    look("what waits, and the keys")
    page.keyboard.press("Escape")
    page.context.set_offline(False)
    assert wrong == []

    page.evaluate("for (const one of document.querySelectorAll('h1, .keys li')) one.style.color = '#808080'")
    caught = [one["of"] for one in measured(page, "texts") if one["ratio"] < one["least"]]
    assert set(caught) == {"li", "kbd"}, caught  # 3.9 on paper: enough for large text alone


def test_a_question_mark_lists_the_keys(filled, visit):
    page = visit("Eva", role="admin")
    for kind in KINDS:
        opened(filled, page, f"/projects/demo-{kind}/work")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        page.wait_for_selector("#keys[open]")
        found = page.locator("#keys li kbd").all_text_contents()
        assert found == [one.shown for one in shortcuts(kind)], kind
        page.keyboard.press("Escape")
        assert page.locator("#keys[open]").count() == 0
    opened(filled, page, "/projects/demo-demonstrate/work")
    page.keyboard.insert_text("Why")
    page.keyboard.press("?")
    assert page.input_value(".writing").endswith("Why?")
    assert page.locator("#keys[open]").count() == 0


def test_keys_of_a_single_letter_can_be_switched_off(filled, visit):
    page = visit("Ada")
    page.goto(f"{filled.address}/account")
    page.get_by_label("Shortcuts of a single key").uncheck()
    page.goto(f"{filled.address}/projects/demo-compare/work")
    page.wait_for_selector("#work[data-item]")
    page.keyboard.press("2")
    assert page.locator("input:checked").count() == 0
    page.keyboard.press("ArrowRight")
    assert page.locator("input:checked").count() == 1


def test_no_page_scrolls_sideways_on_a_phone_and_fingers_hit_what_they_mean(filled, visit):
    page = visit("Eva", role="admin", viewport={"width": 390, "height": 780}, has_touch=True, reduced_motion="reduce")
    wrong: list[str] = []
    for path in (*PAGES, *(f"/projects/ar-{kind}/work" for kind in ("compare", "spans"))):
        opened(filled, page, path)
        scroll, width = measured(page, "width")
        wrong += [f"{path} scrolls by {scroll - width}"] if scroll > width else []
        wrong += [f"{path} {one} reaches beyond the edge" for one in measured(page, "beyond")]
        small = [one for one in measured(page, "targets") if one["size"] < 24]  # 2.5.8
        wrong += [f"{path} {one['of']} is {one['size']:.0f} px small" for one in small]
    assert wrong == []
    page.evaluate("document.querySelector('h1').append('x'.repeat(80))")
    assert measured(page, "beyond") or measured(page, "width")[0] > 390


def test_text_from_right_to_left_is_set_so(filled, visit):
    page = visit("Eva", role="admin", viewport={"width": 700, "height": 900})
    for kind, num_answers in ANSWERS.items():
        page.goto(f"{filled.address}/projects/ar-{kind}/work")
        page.wait_for_selector("#work[data-item]")
        found = page.evaluate(f"({MEASURE}).room('#work .text, #guideline-text')")
        assert len(found) == num_answers + 2, kind
        for one in found:
            assert one["direction"] == "rtl", (kind, one)
            assert one["right"] < 4 < one["left"], (kind, one)
        assert page.locator("#work .text").first.evaluate("(node) => node.lang") == "ar"


def test_keys_go_by_what_is_seen_in_a_text_from_right_to_left(filled, visit):
    page = visit("Eva", role="admin")
    page.goto(f"{filled.address}/projects/ar-spans/work")
    page.wait_for_selector("#work[data-item]")
    for key in ("ArrowLeft", "ArrowLeft", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    words = SAID.rstrip(".").split()
    assert page.locator(".choices bdi").first.text_content() == f"“{' '.join(words[1:])}”"
    page.keyboard.press("Shift+ArrowRight")
    assert page.locator(".choices bdi").first.text_content() == f"“{words[1]}”"
    page.keyboard.press("ArrowRight")
    assert page.locator(".choices bdi").first.text_content() == f"“{words[0]}”"


def test_a_text_has_its_own_direction_while_it_is_written_and_afterwards(filled, visit):
    page = visit("Eva", role="admin")
    page.goto(f"{filled.address}/projects/ar-demonstrate/work")
    page.wait_for_selector("#work[data-item]")
    page.keyboard.press("w")
    directions: list[str] = []
    for text in (SAID, "English", f"{SAID} English"):
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(text)
        directions.append(page.locator(".writing").evaluate("(node) => getComputedStyle(node).direction"))
    assert directions == ["rtl", "ltr", "rtl"]
    page.keyboard.press("Control+Enter")
    page.locator(".prompt .text", has_text="Name gem 1.").wait_for()  # the next one is in English
    (one,) = page.evaluate(f"({MEASURE}).room('.prompt .text')")
    assert one["direction"] == "ltr"
    assert one["left"] < 4 < one["right"]
    page.wait_for_selector("#outbox[hidden]", state="attached")
    page.goto(f"{filled.address}/projects/ar-demonstrate/mine")
    written = page.evaluate(f"({MEASURE}).room('main .text, .lines li')")
    assert [one["direction"] for one in written] == ["rtl", "rtl"]
    assert all(one["right"] < 4 < one["left"] for one in written), written
