"""Every page by the Tab key alone: everything is reached, in order, with a focus that shows and is not covered.

What is measured is what the browser computed (`measure.js`); the rules are those of WCAG 2.2: no trap (2.1.2), focus
order (2.4.3), focus visible (2.4.7), not obscured (2.4.11), and the contrast of what shows it (1.4.11).
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.studio.browser.studio_filled import PAGES, measured, opened

pytestmark = pytest.mark.studio

MOST = 250
"""Presses of a key after which a page counts as one that holds the focus for ever."""

BEGIN = "document.body.tabIndex = -1; document.body.focus()"


def tabbed(page) -> list[str]:
    """Go through a page by Tab, and say what is wrong."""
    page.evaluate(BEGIN)
    seen: list[dict[str, object]] = []
    for _ in range(MOST):
        page.keyboard.press("Tab")
        one = measured(page, "focused")
        if one is None or one["index"] in [before["index"] for before in seen]:
            break
        seen.append(one)
    wrong = [f"{one['of']} is out of order" for one, other in pairwise(seen) if one["index"] > other["index"]]
    wrong += [f"{one['of']} does not show its focus" for one in seen if one["width"] < 2 or one["ratio"] < 3]
    wrong += [f"{one['of']} is covered" for one in seen if one["isCovered"]]
    indexes, groups = {one["index"] for one in seen}, {one["group"] for one in seen if one["group"]}
    operable = measured(page, "operable")
    missed = [one for one in operable if one["index"] not in indexes and one["group"] not in groups]
    return wrong + [f"{one['of']} is not reached" for one in missed]


def test_everything_is_reached_by_tab_in_order_with_a_focus_that_shows(filled, visit):
    page = visit("Eva", role="admin", reduced_motion="reduce")
    wrong: list[str] = []
    for path in (*PAGES, "/projects/ar-spans/work"):
        opened(filled, page, path)
        page.keyboard.press("Escape")
        wrong += [f"{path} {line}" for line in tabbed(page)]
    page.emulate_media(color_scheme="dark")
    for path in ("/", "/projects/demo-compare/work", "/projects/demo-compare/settings"):
        opened(filled, page, path)
        page.keyboard.press("Escape")
        wrong += [f"dark {path} {line}" for line in tabbed(page)]
    assert wrong == []


SPOILT = """() => {
  scrollTo(0, 0);  // where the focus left it is another place
  const [unseen, missed, covered, odd] = document.querySelectorAll("nav[aria-label=Project] a");
  unseen.style.outline = "none";
  missed.tabIndex = -1;
  const { top, left, width, height } = covered.getBoundingClientRect();
  const over = document.body.appendChild(document.createElement("div"));
  const place = { top: `${top}px`, left: `${left}px`, width: `${width}px`, height: `${height}px` };
  Object.assign(over.style, { position: "fixed", background: "#fff", ...place });
  odd.tabIndex = 7;
  Object.entries({ unseen, missed, covered, odd }).forEach(([name, node]) => { node.id = name; });
}"""


def test_what_cannot_be_reached_or_seen_would_be_found(filled, visit):
    page = visit("Eva", role="admin", reduced_motion="reduce")
    opened(filled, page, "/projects/demo-compare/progress")
    assert tabbed(page) == []
    page.evaluate(SPOILT)
    wrong = tabbed(page)
    assert "a#unseen does not show its focus" in wrong
    assert "a#missed is not reached" in wrong
    assert "a#covered is covered" in wrong
    assert "a#odd is not reached" in wrong or "a#odd is out of order" in wrong
