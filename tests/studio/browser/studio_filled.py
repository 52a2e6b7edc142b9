"""A studio with sample work and texts from right to left, its pages in a state in which there is much to see, and what
the browser computed of them (`measure.js`).
"""

from __future__ import annotations

from pathlib import Path

from burnish.studio.demo import fill
from burnish.studio.kinds import KINDS
from burnish.studio.projects import publish
from tests.studio.browser.studio_served import LANGUAGES, Served
from tests.studio.studio_people import compare, items

MEASURE = (Path(__file__).parent / "measure.js").read_text(encoding="utf-8")
OF_PROJECT = ("mine", "guidelines", "progress", "review", "numbers", "settings")
PAGES = [
    "/",
    "/account",
    "/admin",
    "/login",
    "/join",
    "/projects/none/work",
    *(f"/projects/demo-compare/{name}" for name in OF_PROJECT),
    "/projects/demo-rank/review",
    "/projects/demo-rate/review",
    "/projects/demo-arena/numbers",
    *(f"/projects/demo-{kind}/work" for kind in KINDS),
]
KEYS = {
    "compare": ["2", "f", "Escape"],
    "rank": ["ArrowDown", "ArrowDown", "t"],
    "rate": ["5", "4"],
    "thumbs": ["Enter", "1"],
    "spans": ["ArrowRight", "1", "ArrowRight", "2", "ArrowRight", "3", "ArrowRight", "4", "ArrowLeft"],
    "evaluate": ["1", "e"],
    "demonstrate": ["Enter", "Control+Enter", "w"],
    "arena": ["Control+Enter"],
}
"""What is pressed before a work page is measured, so that what is chosen, marked and missing shows."""

ANSWERS = {"compare": 2, "rank": 3, "rate": 2, "spans": 1, "demonstrate": 0, "thumbs": 1}
"""Kinds of work that have a project `ar-KIND`, and how many answers its items have."""

ASKED = "ما هو العقيق؟"
SAID = "العقيق حجر كريم."
GUIDELINE = "اقرأ السؤال أولاً."


def fill_all(served: Served) -> None:
    """The sample work; and of each of `ANSWERS` a project with an item in Arabic before one in English."""
    with served.write() as session:
        fill(session, served.studio.secret, served.studio.clock())
        for kind, num_answers in ANSWERS.items():
            project = compare(session, slug=f"ar-{kind}", kind=kind, overlap=1, languages=LANGUAGES)
            publish(session, project, GUIDELINE, author_id=None, now=0)
            for item, language in zip(items(session, project, 2, num_answers=num_answers), ("ar", "en"), strict=True):
                item.language = language
                if language == "ar":
                    item.prompt = [{"role": "user", "content": ASKED}]
                    said = {"messages": [{"role": "assistant", "content": SAID}], "model": None}
                    item.answers = [said] * num_answers


def measured(page, name: str):
    """What one of the measures of `measure.js` finds in the page."""
    return page.evaluate(f"({MEASURE}).{name}()")


def opened(filled: Served, page, path: str) -> None:
    """Open a page; where there is work, wait for it and press some `KEYS`."""
    page.goto(f"{filled.address}{path}")
    if path.endswith("/work") and "none" not in path:
        page.wait_for_selector("#work[data-item], #work[data-conversation], #rest")
        for key in KEYS.get(path.split("/")[2].partition("-")[2], []):
            page.keyboard.press(key)
    page.wait_for_selector("h1")
