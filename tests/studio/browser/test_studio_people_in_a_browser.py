"""What reviewers and admins do, in a real browser: decide, resolve, invite, make projects, import, export, delete."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from burnish.studio.assignment import flag, next_task
from burnish.studio.invitations import invite, link
from burnish.studio.judgements import Submission, submit
from burnish.studio.projects import quotas
from burnish.studio.tables import Adjudication, Item, Person, Project
from tests.studio.browser.studio_served import until
from tests.studio.studio_people import SECRET, compare, items

pytestmark = pytest.mark.studio

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e\"' {{ 7*7 }}"
PASSWORD = "correct horse battery"


def judge(served, slug: str, name: str, better: int) -> None:
    """Let somebody say of all items of a project that this answer, in the item's order, is better."""
    person_id, now = served.person(name), served.studio.clock()
    with served.write() as session:
        project = session.scalars(select(Project).where(Project.slug == slug)).one()
        person = session.get_one(Person, person_id)
        while (handed := next_task(session, served.studio.secret, project, person, now=now)).item is not None:
            content = {"better": handed.lease.shown_order.index(better), "strength": 1}
            client = f"{slug}-{name}-{handed.item.id:04d}"
            submit(session, person, Submission(client_id=client, item_id=handed.item.id, content=content), now)


def disagreed(served, slug: str, count: int) -> list[int]:
    """A project in which Ada and Bo disagree on every item."""
    with served.write() as session:
        made = [item.id for item in items(session, compare(session, slug=slug), count)]
    judge(served, slug, "Ada", 0)
    judge(served, slug, "Bo", 1)
    return made


def export(served, visit, slug: str, name: str) -> list[dict[str, object]]:
    """What an admin saves from the settings page."""
    page = visit("Eva", role="admin")
    page.goto(f"{served.address}/projects/{slug}/settings")
    with page.expect_download() as saved:
        page.get_by_role("link", name=name).click()
    text = Path(saved.value.path()).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_reviewer_decides_where_two_disagree_and_the_export_says_so(served, visit):
    _, second = disagreed(served, "court", 2)
    assert export(served, visit, "court", "preferences as jsonl") == []
    page = visit("Rut", role="reviewer")
    page.goto(f"{served.address}/projects/court/review")
    articles = page.locator("article.card[aria-label^='Item']")
    assert articles.count() == 2
    said = articles.nth(1).locator("> .facts").text_content()
    assert "p-ada" in said
    assert "p-bo" in said
    assert "Answer 1 is slightly better" in said
    assert "Answer 2 is slightly better" in said
    assert "Ada" not in page.text_content("main")
    decide = articles.nth(1).get_by_role("button", name="Decide")
    decide.click()
    assert "Say which is better" in articles.nth(1).get_by_role("alert").text_content()
    articles.nth(1).get_by_role("radio", name="answer 2 is clearly better").press("Space")
    articles.nth(1).get_by_label("Why, for the record").fill("It says more.")
    assert articles.nth(0).locator("input:checked").count() == 0
    decide.click()
    articles.nth(1).get_by_text("Decided.").wait_for()
    page.reload()
    assert articles.count() == 1
    (row,) = export(served, visit, "court", "preferences as jsonl")
    texts = [one["messages"][0]["content"] for one in sorted(row["completions"], key=lambda one: one["rank"])]
    assert texts == ["answer 1", "answer 0"]
    provenance = row["columns"]["studio"]
    assert (provenance["decided_by"], provenance["agreement"]) == ("reviewer", 1.0)
    assert {vote["pseudonym"] for vote in provenance["votes"]} == {"p-ada", "p-bo"}
    with served.studio.database.read() as session:
        (made,) = session.scalars(select(Adjudication)).all()
        assert (made.item_id, made.reason) == (second, "It says more.")


def test_a_reviewer_withdraws_an_item_that_somebody_flagged(served, visit):
    kept, withdrawn = disagreed(served, "flags", 2)
    person_id = served.person("Ada")
    with served.write() as session:
        for item in (kept, withdrawn):
            flag(session, item, session.get_one(Person, person_id), reason="unclear", comment=HOSTILE, now=0)
    page = visit("Rut", role="reviewer")
    page.goto(f"{served.address}/projects/flags/review")
    assert HOSTILE in page.text_content("main")
    flags = page.locator("article[aria-label^='Flag']")
    flags.nth(1).get_by_role("button", name="Withdraw the item").click()
    until(lambda: flags.count() == 1)
    flags.nth(0).get_by_role("button", name="Leave the item").click()
    page.get_by_text("Nobody flagged anything").wait_for()
    with served.studio.database.read() as session:
        assert session.get_one(Item, withdrawn).state == "withdrawn"
        assert session.get_one(Item, kept).state == "done"


def test_an_admin_makes_a_project_with_languages_and_quotas(served, visit):
    page = visit("Eva", role="admin")
    page.goto(f"{served.address}/admin")
    form = page.locator("form", has_text="New project")
    form.get_by_label("Title").fill(HOSTILE)
    form.get_by_label("Name in addresses").fill("made")
    form.get_by_label("Kind of work").select_option("thumbs")
    form.get_by_label("Languages").fill("en is")
    form.get_by_label("Most items begun by language").fill("is:10")
    form.get_by_label("People for each item").fill("3")
    form.get_by_role("button", name="Make the project").click()
    form.get_by_text('found "is:10"; expected a language and a number, such as is=1000').wait_for()
    form.get_by_label("Most items begun by language").fill("is=10, en=5")
    form.get_by_role("button", name="Make the project").click()
    page.wait_for_url("**/projects/made/settings")
    form = page.locator("form", has_text="Share of gold items")
    assert form.get_by_label("Most items begun by language").input_value().split() == ["en=5", "is=10"]
    form.get_by_label("Most items begun by language").fill("is=20")
    form.get_by_role("button", name="Save settings").click()
    form.get_by_text("Saved.").wait_for()
    with served.studio.database.read() as session:
        project = session.scalars(select(Project).where(Project.slug == "made")).one()
        assert (project.title, project.kind, project.languages) == (HOSTILE, "thumbs", ["en", "is"])
        assert (project.overlap, quotas(session, project)) == (3, {"is": 20})


def test_an_admin_invites_somebody_who_joins_changes_their_role_and_deletes_them(served, visit):
    admin = visit("Eva", role="admin", agrees=True)
    admin.goto(f"{served.address}/admin")
    form = admin.locator("form", has_text="Invite")
    form.get_by_label("Languages").fill("en is")
    form.get_by_role("button", name="Make a link").click()
    address = form.get_by_role("status").locator("span").text_content()
    assert address.startswith(f"{served.address}/join#")

    guest = visit()
    asked: list[str] = []
    guest.on("request", lambda request: asked.append(request.url))
    guest.goto(address)
    guest.get_by_text("You are invited as annotator.").wait_for()
    assert guest.get_by_label("Languages").input_value() == "en is"
    guest.get_by_label("Name").fill("Cai")
    guest.get_by_label("Password").fill("short")
    guest.get_by_role("button", name="Make my account").click()
    guest.get_by_text("a password has 10 to 200 characters; found 5").wait_for()
    guest.get_by_label("Password").fill(PASSWORD)
    guest.get_by_role("button", name="Make my account").click()
    guest.wait_for_selector("#log-out")
    assert guest.get_by_role("link", name="Cai").count() == 1
    assert not [url for url in asked if address.partition("#")[2] in url.partition("#")[0]]

    disagreed(served, "left", 1)
    with served.write() as session:
        compare(session, slug="theirs", overlap=1)
        project = session.scalars(select(Project).where(Project.slug == "theirs")).one()
        items(session, project, 1)
    guest.goto(f"{served.address}/projects/theirs/work")
    guest.wait_for_selector("#work[data-item]")
    guest.keyboard.press("1")
    guest.keyboard.press("Enter")
    until(lambda: len(served.judgements("theirs")) == 1)

    admin.reload()
    row = admin.get_by_role("row").filter(has_text="Cai")
    pseudonym = row.locator("td").first.text_content()
    row.get_by_label("Role of Cai").select_option("reviewer")
    with admin.expect_navigation():
        row.get_by_role("button", name="Set").click()
    assert row.get_by_label("Role of Cai").input_value() == "reviewer"
    guest.goto(f"{served.address}/projects/left/review")
    guest.get_by_text("Where people disagree").wait_for()

    with admin.expect_navigation():
        row.get_by_role("button", name="Delete").click()
    assert row.count() == 0
    gone = admin.get_by_role("row").filter(has_text=pseudonym)
    assert gone.get_by_role("rowheader").text_content() == "deleted"
    assert gone.get_by_role("button").count() == 0
    guest.goto(f"{served.address}/projects/left/review")
    guest.get_by_role("button", name="Sign in").wait_for()
    (kept,) = export(served, visit, "theirs", "judgements as jsonl")
    assert kept["pseudonym"] == pseudonym
    assert "Cai" not in json.dumps(kept)


def test_a_link_of_invitation_is_good_once(served, visit):
    with served.write() as session:
        token = invite(session, SECRET, role="reviewer", languages=["is"], days=7, now=served.studio.clock())
    address = link(served.address, token)
    first, second = visit(), visit()
    for page, name in ((first, "Dag"), (second, "Dora")):
        page.goto(address)
        page.get_by_text("You are invited as reviewer.").wait_for()
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
    first.get_by_role("button", name="Make my account").click()
    first.wait_for_selector("#log-out")
    second.get_by_role("button", name="Make my account").click()
    second.locator("form").get_by_text("this link is unknown, used or too old; ask for a new one").wait_for()
    second.reload()
    second.get_by_text("This invitation cannot be used").wait_for()
    assert second.locator("form#join").is_hidden()
    with served.studio.database.read() as session:
        names = session.scalars(select(Person.name).where(Person.name.in_(["Dag", "Dora"]))).all()
    assert names == ["Dag"]


def upload(page, name: str, data: bytes) -> str:
    """Import a file, and what the page says of it."""
    form = page.locator("form", has_text="Import")
    form.locator(".answer").evaluate("(node) => node.replaceChildren()")
    form.locator("[type=file]").set_input_files({"name": name, "mimeType": "application/octet-stream", "buffer": data})
    form.get_by_role("button", name="Import").click()
    form.locator(".answer span").wait_for()
    return form.locator(".answer").text_content()


def rows(count: int, text: str) -> bytes:
    made = [{"prompt": f"{text} {n}", "chosen": f"{text} yes {n}", "rejected": f"{text} no {n}"} for n in range(count)]
    return "\n".join(json.dumps(row) for row in made).encode()


def test_files_are_imported_in_the_browser_and_bad_ones_are_refused_in_words(served, visit):
    with served.write() as session:
        compare(session, slug="files", overlap=1)
    page = visit("Eva", role="admin")
    page.goto(f"{served.address}/projects/files/settings")
    assert upload(page, "good.jsonl", rows(3, "fine")) == "3 items came in; 0 were here already."
    assert upload(page, "good.jsonl", rows(3, "fine")) == "0 items came in; 3 were here already."
    said = upload(page, f"../../{HOSTILE}.jsonl", rows(1, HOSTILE))
    assert said == "1 items came in; 0 were here already."
    said = upload(page, "mixed.jsonl", rows(1, "new") + b'\n{"prompt": "<b>only a prompt</b>"}\n')
    assert "mixed.jsonl" in said
    assert "2" in said
    deep = b'{"prompt": ' + b"[" * 100_000
    for name, data in (
        ("odd.jsonl", b"\xff\xfe\x00 no text"),
        ("deep.jsonl", deep),
        ("odd.parquet", b"PAR1 it is not"),
    ):
        said = upload(page, name, data)
        assert name in said, said
        assert "the studio said 500" not in said
    assert "found the file 'evil.html'; expected one that ends in .jsonl" in upload(page, "evil.html", b"<script>")
    large = rows(20_000, "large")
    assert len(large) > 1_000_000
    assert "at most 1 MB may be sent" in upload(page, "large.jsonl", large)
    page.locator("form", has_text="Import").evaluate(
        "(form) => delete form.dataset.mostMb"
    )  # past the page's own check
    said = upload(page, "large.jsonl", large)
    assert said in ("at most 1 MB may be sent", "The studio did not answer; nothing was changed. Try again.")
    with served.studio.database.read() as session:
        assert len(session.scalars(select(Item.id).join(Project).where(Project.slug == "files")).all()) == 4
    page.goto(f"{served.address}/projects/files/work")
    page.wait_for_selector("#work[data-item]")
    for _ in range(3):
        item = page.get_attribute("#work", "data-item")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#work:not([data-item='{item}'])")
    assert HOSTILE in page.text_content("#work")
