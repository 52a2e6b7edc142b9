"""Ranking and marking in a real browser, by mouse and by keys; a correction; votes in the arena after any turn."""

from __future__ import annotations

import pytest

from burnish.studio.arena_models import SCRIPTED
from burnish.studio.assignment import next_task
from burnish.studio.judgements import Submission, submit
from burnish.studio.tables import Flag, Person, Project, Skip, Turn, Vote
from tests.studio.browser.studio_served import LANGUAGES, until
from tests.studio.studio_people import compare, items

pytestmark = pytest.mark.studio

SAID = "💎 Opal is a metal, I think."
WORD = "metal"
AT = {"answer": 0, "start": SAID.index(WORD), "end": SAID.index(WORD) + len(WORD)}
FIRST, SECOND = "good", "wrong"
"""The first two labels that a project has."""


def project(served, slug: str, kind: str, *, count: int = 1, num_answers: int = 2, **settings: object) -> list[int]:
    """A project with items; their ids."""
    with served.write() as session:
        made = compare(session, slug=slug, kind=kind, **{"overlap": 1, "languages": LANGUAGES, **settings})
        return [item.id for item in items(session, made, count, num_answers=num_answers)]


def work(served, page, slug: str) -> None:
    """Open the work page and wait for an item."""
    page.goto(f"{served.address}/projects/{slug}/work")
    page.wait_for_selector("#work[data-item]")


def order(page) -> list[str]:
    return [text.strip() for text in page.locator(".rank-row .text").all_text_contents()]


WANTED = ["answer 2", "answer 0", "answer 3", "answer 1"]
RANKS = [0, 2, 0, 1]
"""Of the item's answers, if they stand as wanted and the second is as good as the first."""


def test_answers_are_ranked_by_dragging(served, visit):
    project(served, "drag", "rank", num_answers=4)
    page = visit("Ada")
    work(served, page, "drag")
    for place, text in enumerate(WANTED):
        handle = page.locator(".rank-row .handle").nth(order(page).index(text)).bounding_box()
        target = page.locator(".rank-row").nth(place).bounding_box()
        x = handle["x"] + handle["width"] / 2
        page.mouse.move(x, handle["y"] + handle["height"] / 2)
        page.mouse.down()
        page.mouse.move(x, target["y"] + 3, steps=6)
        page.mouse.up()
        assert order(page)[: place + 1] == WANTED[: place + 1]
    page.mouse.move(x, 5)  # nothing is held any more
    assert order(page) == WANTED
    page.locator(".rank-row").nth(1).get_by_role("button", name="as good as the one above").click()
    assert page.locator(".rank-row .at").all_text_contents() == ["1.", "1.", "2.", "3."]
    page.click("#send")
    assert served.content("drag") == {"ranks": RANKS}


def test_answers_are_ranked_by_keys(served, visit):
    project(served, "keyed", "rank", num_answers=4)
    page = visit("Ada")
    work(served, page, "keyed")
    page.keyboard.press("ArrowDown")
    at = 0
    for place, text in enumerate(WANTED):
        wanted = order(page).index(text)
        for _ in range(abs(wanted - at)):
            page.keyboard.press("ArrowDown" if wanted > at else "ArrowUp")
        for _ in range(wanted - place):
            page.keyboard.press("Shift+ArrowUp")
        at = place
        assert order(page)[at] == page.locator(".rank-row:focus .text").text_content()
    assert order(page) == WANTED
    for key in ("Shift+ArrowUp", "Shift+ArrowDown", "ArrowUp", "ArrowUp", "t", "Enter"):
        page.keyboard.press(key)
    assert served.content("keyed") == {"ranks": RANKS}


def marking(served, page, slug: str) -> None:
    """An item whose answer begins with a character that is two units of JavaScript's strings."""
    with served.write() as session:
        made = compare(session, slug=slug, kind="spans", overlap=1)
        (item,) = items(session, made, 1, num_answers=1)
        item.answers = [{"messages": [{"role": "assistant", "content": SAID}], "model": None}]
    work(served, page, slug)


RECTANGLE = """(box, [start, end]) => {
  const range = document.createRange();
  range.setStart(box.firstChild, start);
  range.setEnd(box.firstChild, end);
  const { left, right, top, bottom } = range.getBoundingClientRect();
  return [left, right, (top + bottom) / 2];
}"""


def select(page, word: str) -> None:
    """Draw the mouse over a word of the answer; offsets in a page count in UTF-16."""
    start = len(SAID[: SAID.index(word)].encode("utf-16-le")) // 2
    left, right, y = page.locator(".marked").evaluate(RECTANGLE, [start, start + len(word)])
    page.mouse.move(left + 1, y)
    page.mouse.down()
    page.mouse.move(right - 1, y, steps=5)
    page.mouse.up()
    page.locator(".choices bdi", has_text=f"“{word}”").wait_for()


def test_a_part_is_marked_by_mouse_with_a_comment(served, visit):
    page = visit("Ada")
    marking(served, page, "mouse")
    select(page, "Opal")
    page.get_by_role("button", name=FIRST).click()
    assert page.locator(".marks li").count() == 1
    page.get_by_role("button", name="Take this mark away").click()
    assert page.locator(".marks li, mark").count() == 0
    select(page, WORD)
    page.get_by_role("button", name=SECOND).click()
    page.get_by_label("Comment on this part").fill("It is a mineral.")
    assert page.locator(".marked mark").text_content() == WORD
    page.click("#send")
    assert served.content("mouse") == {"spans": [{**AT, "label": SECOND, "comment": "It is a mineral."}]}


def test_a_part_is_marked_by_keys_with_a_comment(served, visit):
    page = visit("Ada")
    marking(served, page, "walk")
    for key in ("ArrowRight", "1", "Backspace"):
        page.keyboard.press(key)
    assert page.locator(".marks li").count() == 0
    for key in ("ArrowRight",) * 3 + ("Shift+ArrowRight", "Shift+ArrowLeft", "2", "c"):
        page.keyboard.press(key)
    page.keyboard.type("It is a mineral, 2 of them")
    for key in ("Escape", "Enter"):
        page.keyboard.press(key)
    assert served.content("walk") == {"spans": [{**AT, "label": SECOND, "comment": "It is a mineral, 2 of them"}]}


def test_a_judgement_of_ones_own_is_corrected(served, visit):
    (item,) = project(served, "mend", "compare")
    ada, now = served.person("Ada"), served.studio.clock()
    with served.write() as session:
        of, person = session.query(Project).filter_by(slug="mend").one(), session.get_one(Person, ada)
        next_task(session, served.studio.secret, of, person, now=now)
        first = Submission(client_id="mend-0001", item_id=item, content={"better": 1, "strength": 2})
        before = submit(session, person, first, now).judgement.id
    page = visit("Ada")
    page.goto(f"{served.address}/projects/mend/mine")
    assert "Answer 2 is clearly better" in page.text_content("main")
    page.get_by_role("link", name="Correct").click()
    page.wait_for_selector("#work[data-item]")
    assert page.locator(".answer.chosen h2").text_content() == "Answer 2"
    page.keyboard.press("0")
    page.keyboard.press("Enter")
    page.locator("#rest", has_text="Your correction is on its way").wait_for()
    until(lambda: len(served.judgements("mend")) == 2)
    old, new = served.judgements("mend")
    assert (old.id, old.content) == (before, {"better": old.content["better"], "strength": 2})
    assert (new.supersedes_id, new.content, new.counted) == (before, {"better": None}, True)
    page.get_by_role("link", name="Back to my work").click()
    page.get_by_text("A tie").wait_for()
    assert page.locator("main > article").count() == 1


def test_an_item_is_flagged_and_skipped_by_keys(served, visit):
    first, second = project(served, "aside", "compare", count=2)
    page = visit("Ada")
    work(served, page, "aside")
    assert page.get_attribute("#work", "data-item") == str(first)
    page.keyboard.press("f")
    page.wait_for_selector("#aside[open]")
    page.keyboard.press("Tab")
    page.keyboard.type("Which of the 2?")
    for key in ("Tab", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#aside:not([open])", state="attached")
    page.locator("#said", has_text="Flagged.").wait_for(state="attached")
    assert page.get_attribute("#work", "data-item") == str(first)
    page.keyboard.press("s")
    page.wait_for_selector("#aside[open]")
    page.keyboard.press("Escape")  # nothing is skipped
    page.wait_for_selector("#aside:not([open])", state="attached")
    page.keyboard.press("s")
    page.wait_for_selector("#aside[open]")
    for key in ("Tab", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector(f"#work[data-item='{second}']")
    with served.studio.database.read() as session:
        (found,) = session.query(Flag).filter_by(item_id=first)
        assert (found.reason, found.comment) == ("unclear", "Which of the 2?")
        (skipped,) = session.query(Skip).filter_by(item_id=first)
        assert skipped.reason == "unclear"
    page.reload()
    page.wait_for_selector(f"#work[data-item='{second}']")


def test_the_arena_takes_votes_after_any_turn_by_keys(served, visit):
    with served.write() as session:
        compare(session, slug="ring", kind="arena", overlap=1, options={"models": list(SCRIPTED)})
    page = visit("Ada")
    page.goto(f"{served.address}/projects/ring/work")
    page.wait_for_selector("#work[data-conversation]")
    asked = ("What is opal?", "And jade?", "And onyx?")
    for number, keys in enumerate((["w"], ["0", "w"], ["b"])):
        page.keyboard.type(asked[number])
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#votes")
        assert page.locator(".turn").count() == number + 1
        assert page.locator("h2 .part").count() == (6 if number == 2 else 0)  # names after the first vote
        page.keyboard.press("Enter")  # where the focus is, it votes for nothing
        assert page.locator("#votes").count() == 1
        for key in keys:
            page.keyboard.press(key)
    page.wait_for_selector("#outbox[hidden]", state="attached")

    def votes() -> list[tuple[str, str | None, bool]]:
        with served.studio.database.read() as session:
            rows = session.query(Vote, Turn).join(Turn, Turn.id == Vote.turn_id).order_by(Vote.id)
            return [(turn.text, vote.better, vote.both_bad) for vote, turn in rows]

    until(lambda: len(votes()) == 2)
    assert votes() == [("And jade?", None, False), ("And onyx?", None, True)]


def test_answers_are_ranked_by_a_finger_on_a_phone(served, visit):
    """The handle is dragged, and the page does not scroll instead."""
    project(served, "finger", "rank", num_answers=3)
    page = visit("Ada", viewport={"width": 390, "height": 780}, has_touch=True, is_mobile=True)
    work(served, page, "finger")
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        data = {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]}
        finger.send("Input.dispatchTouchEvent", data)

    handle = page.locator(".rank-row .handle").nth(1).bounding_box()
    x, start = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    end = page.locator(".rank-row").nth(0).bounding_box()["y"] + 3
    before, scrolled = order(page), page.evaluate("scrollY")
    touch("touchStart", (x, start))
    for step in range(1, 9):
        touch("touchMove", (x, start + (end - start) * step / 8))
    touch("touchEnd")
    wanted = [before[1], before[0], before[2]]
    assert order(page) == wanted
    assert page.evaluate("scrollY") == scrolled
    page.wait_for_timeout(600)  # sooner, it would be the second half of a double tap
    page.locator("#send").tap()
    ranks = served.content("finger")["ranks"]
    assert [ranks[int(text.removeprefix("answer "))] for text in wanted] == [0, 1, 2]


def test_an_answer_that_is_let_go_outside_of_the_list_stays(served, visit):
    project(served, "outside", "rank", num_answers=3)
    page = visit("Ada")
    work(served, page, "outside")
    handles, rows = page.locator(".rank-row .handle"), page.locator(".rank-row")
    last, top = handles.nth(2).bounding_box(), rows.nth(0).bounding_box()
    before = order(page)
    page.mouse.move(last["x"] + 4, last["y"] + 4)
    page.mouse.down()
    page.mouse.move(last["x"] + 4, top["y"] + 3)
    page.mouse.move(1, 1)
    page.mouse.up()
    wanted = [before[2], before[0], before[1]]
    assert order(page) == wanted
    held = handles.nth(0).bounding_box()
    page.mouse.move(held["x"] + 4, held["y"] + 4)
    page.mouse.move(held["x"] + 4, rows.nth(2).bounding_box()["y"] + rows.nth(2).bounding_box()["height"] - 2)
    assert order(page) == wanted
    assert page.locator(".rank-row.dragged").count() == 0
