"""Leases in a real browser: renewed while somebody is at work, ended when nobody is, and no text lost with them.

The tab's time (Playwright's clock) and the studio's are moved by hand.
"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from burnish.studio.projects import publish
from burnish.studio.tables import Lease
from tests.studio.browser.studio_served import until
from tests.studio.studio_people import compare, items

pytestmark = pytest.mark.studio

LEASE = 600
BEGUN = 1_800_000_000
TEXT = "Opal is a gem. \U0001f48e\nIt is not a metal."


def writing(served, slug: str) -> int:
    """A project in which one person writes an answer to one prompt; the item."""
    with served.write() as session:
        project = compare(session, slug=slug, kind="demonstrate", overlap=1, lease_seconds=LEASE)
        publish(session, project, "Say what is true.", author_id=None, now=0)
        return items(session, project, 1, num_answers=0)[0].id


def tab(served, visit, name: str, slug: str):
    """A work page whose time stands still until it is moved."""
    page = visit(name)
    page.clock.install(time=BEGUN)
    page.goto(f"{served.address}/projects/{slug}/work")
    page.wait_for_selector("#work[data-item], #rest")
    page.clock.pause_at(BEGUN + LEASE // 2)  # the page looks at its lease for the first time
    return page


def let_pass(served, page, seconds: int) -> None:
    """Let time pass for the studio, and for one tab."""
    served.pass_time(seconds)
    page.clock.fast_forward(seconds * 1000)


def end_of(served, item: int, name: str) -> int:
    """When somebody's lease ends."""
    person = served.person(name)
    with served.studio.database.read() as session:
        query = select(Lease.expires_at).where(Lease.item_id == item, Lease.person_id == person)
        return session.scalars(query).one()


def write(page, text: str) -> None:
    page.keyboard.press("w")
    page.keyboard.insert_text(text)


def test_a_lease_lasts_as_long_as_somebody_works_and_what_they_wrote_lasts_longer(served, visit):
    item = writing(served, "last")
    ada = tab(served, visit, "Ada", "last")
    write(ada, TEXT)
    first = end_of(served, item, "Ada")
    let_pass(served, ada, LEASE - 200)
    until(lambda: end_of(served, item, "Ada") >= first + 300_000)
    let_pass(served, ada, 300)  # past the end of the first lease, within the second
    bo = tab(served, visit, "Bo", "last")
    assert "Others hold what is left" in bo.text_content("#rest")
    ada.keyboard.insert_text("!")
    second = end_of(served, item, "Ada")
    let_pass(served, ada, LEASE + 1)  # nobody touches the tab
    let_pass(served, ada, LEASE + 1)
    ada.wait_for_timeout(300)
    assert end_of(served, item, "Ada") == second

    bo.reload()
    bo.wait_for_selector("#work[data-item]")
    ada.keyboard.insert_text("?")
    ada.clock.fast_forward(1500)
    ada.get_by_text("the time for this item ended, and others have it now. What you send is kept").wait_for()
    assert ada.input_value(".writing") == f"{TEXT}!?"
    write(bo, "A gem.")
    bo.keyboard.press("Control+Enter")
    until(lambda: len(served.judgements("last")) == 1)
    ada.keyboard.press("Control+Enter")
    until(lambda: len(served.judgements("last")) == 2)
    said = [(one.content["text"], one.counted) for one in served.judgements("last")]
    assert said == [("A gem.", True), (f"{TEXT}!?", False)]
    ada.goto(f"{served.address}/projects/last/mine")
    assert "kept, not counted" in ada.text_content("main")


def test_a_text_whose_item_went_to_others_is_there_after_a_reload_and_can_be_sent(served, visit):
    item = writing(served, "kept")
    ada = tab(served, visit, "Ada", "kept")
    write(ada, TEXT)
    assert ada.locator("#kept").is_hidden()
    served.pass_time(LEASE + 1)  # the tab sleeps
    bo = tab(served, visit, "Bo", "kept")
    assert bo.get_attribute("#work", "data-item") == str(item)
    ada.reload()
    ada.wait_for_selector("#rest")
    assert ada.locator("#kept .text").text_content() == TEXT
    ada.goto(f"{served.address}/projects/last/work")  # of another project
    ada.wait_for_selector("#work[data-item], #rest")
    assert ada.locator("#kept").is_hidden()
    ada.goto(f"{served.address}/projects/kept/work")
    ada.get_by_role("button", name="Send it all the same").click()
    assert served.content("kept") == {"text": TEXT}
    (judgement,) = served.judgements("kept")
    assert (judgement.item_id, judgement.guideline_version, judgement.counted) == (item, 1, True)
    ada.reload()
    ada.wait_for_selector("#rest")
    assert ada.locator("#kept").is_hidden()
