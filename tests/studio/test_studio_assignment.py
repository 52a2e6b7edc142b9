"""Assignment and judgements: many people at once, late judgements, corrections, gold, what does not fit.

Any interleaving of what people do is drawn in test_studio_any_order.py.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from burnish.studio import queue
from burnish.studio.assignment import next_task, renew
from burnish.studio.database import Database
from burnish.studio.judgements import Submission, submit
from burnish.studio.refusals import Conflict, Denied, Invalid
from burnish.studio.tables import Item, Judgement, Person, Project
from tests.studio.studio_people import SECRET, compare, items, people


def said(item_id: int, client_id: str, better: int | None = 0, **more) -> Submission:
    content = {"better": better} if better is None else {"better": better, "strength": 1}
    return Submission(client_id=client_id, item_id=item_id, content=content, **more)


def work_until_done(database: Database, person: int, seen: list[tuple[int, int]], errors: list[Exception]) -> None:
    """Ask and judge until nothing comes; every second vote is sent twice."""
    try:
        while True:
            with database.write() as session:
                who, project = session.get_one(Person, person), session.get_one(Project, 1)
                handed = next_task(session, SECRET, project, who, now=1)
            if handed.item is None and handed.why != "wait":
                return
            if handed.item is None:
                time.sleep(0.02)
                continue
            seen.append((person, handed.item.id))
            submission = said(handed.item.id, uuid.uuid4().hex)
            for repetition in range(1 + len(seen) % 2):
                with database.write() as session:
                    receipt = submit(session, session.get_one(Person, person), submission, 2)
                    assert receipt.repeated == bool(repetition)
                    assert receipt.judgement.counted
    except Exception as error:
        errors.append(error)


def test_fifty_people_at_once(database):
    """Exact overlap, none given twice, nothing locked, on either engine."""
    num_people, num_items, overlap = 50, 30, 3
    with database.write() as session:
        people(session, num_people)
        items(session, compare(session, overlap=overlap, quotas={"en": num_items - 5}), num_items)
    seen: list[tuple[int, int]] = []
    errors: list[Exception] = []
    workers = [
        threading.Thread(target=work_until_done, args=(database, person, seen, errors))
        for person in range(1, num_people + 1)
    ]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
    assert errors == []
    with database.read() as session:
        rows = session.scalars(select(Judgement)).all()
        done = session.scalars(select(Item.id).where(Item.state == "done")).all()
    assert len(done) == num_items - 5
    assert Counter(row.item_id for row in rows) == dict.fromkeys(done, overlap)
    assert max(Counter(seen).values()) == 1
    assert len({(row.item_id, row.person_id) for row in rows}) == len(rows) == len(seen)


@pytest.fixture
def two(database):
    """Two people, one item that two are asked to judge."""
    with database.write() as session:
        ada, bo, cy = people(session, 3)
        project = compare(session, overlap=1)
        items(session, project, 1)
    return database, project, (ada, bo, cy)


def ask(database, project, person, now, **more):
    with database.write() as session:
        return next_task(session, SECRET, project, person, now=now, **more)


def judge(database, person, submission, now):
    with database.write() as session:
        return submit(session, person, submission, now)


def test_a_late_judgement_counts_while_there_is_a_place_and_is_kept_when_there_is_none(two):
    database, project, (ada, bo, _) = two
    assert ask(database, project, ada, 0).item.id == 1
    assert ask(database, project, bo, 59_999).why == "wait"
    assert ask(database, project, bo, 60_000).item.id == 1
    late = judge(database, ada, said(1, "ada-late"), 60_001)
    assert late.judgement.counted
    kept = judge(database, bo, said(1, "bo-in-time"), 60_002)
    assert not kept.judgement.counted
    with pytest.raises(Conflict, match="judged already"), database.write() as session:
        renew(session, 1, ada, 60_003)


def test_the_same_item_comes_again_until_it_is_judged_or_another_is_asked_for(database):
    with database.write() as session:
        (ada,) = people(session, 1)
        project = compare(session, overlap=1)
        items(session, project, 3)
        items(session, project, 1, priority=5.0)
        items(session, project, 1, language="is")
    first = ask(database, project, ada, 0)
    assert (first.item.id, first.lease.expires_at) == (4, 60_000)
    again = ask(database, project, ada, 30_000)
    assert (again.item.id, again.lease.expires_at) == (4, 90_000)
    assert ask(database, project, ada, 30_000, besides=[4]).item.id == 1
    assert ask(database, project, ada, 30_000, besides=[4, 1], language="is").item.id == 5
    assert ask(database, project, ada, 30_000, language="sv").why == "language"


def test_who_judges_and_asks_at_once_is_not_handed_the_same_item(database, monkeypatch):
    """The query for the next item may have begun before the judgement was there; here it always knows nothing of it."""
    with database.write() as session:
        (ada,) = people(session, 1)
        project = compare(session, overlap=2)
        items(session, project, 1)
        items(session, project, 1, gold={"better": 0})
    ordinary = ask(database, project, ada, 0).item.id
    judge(database, ada, said(ordinary, "ada-judged"), 1)
    real = queue._own_free

    def outdated(asker, *, gold):
        return real(replace(asker, person_id=99), gold=gold)

    monkeypatch.setattr(queue, "_own_free", outdated)
    for gold_rate in (0.0, 1.0):
        project.gold_rate = gold_rate
        handed = ask(database, project, ada, 2)
        if handed.item is not None:
            assert (handed.item.id, gold_rate) == (2, 1.0)
            judge(database, ada, said(2, "ada-gold"), 3)
    assert ask(database, project, ada, 4).item is None


def test_two_people_who_create_at_the_same_moment_both_get_an_item(postgres):
    with postgres.write() as session:
        ada, bo = people(session, 2)
        project = compare(session, kind="create", overlap=1)
    with postgres.write() as one, postgres.write() as other:
        other.execute(text("SET LOCAL lock_timeout = '5s'"))  # who waited for the other would wait for ever
        mine = next_task(one, SECRET, project, ada, now=7).item
        theirs = next_task(other, SECRET, project, bo, now=7).item
        assert mine.key != theirs.key
    with postgres.read() as session:
        assert len(session.scalars(select(Item)).all()) == 2


def test_corrections_are_new_rows_and_only_the_newest_speaks(two):
    database, project, (ada, *_) = two
    handed = ask(database, project, ada, 0)
    first = judge(database, ada, said(1, "ada-first", better=0), 1).judgement
    second = judge(database, ada, said(1, "ada-second", better=1, supersedes=first.id), 2).judgement
    assert (first.content["better"], second.content["better"]) == tuple(handed.lease.shown_order)
    assert second.counted
    with pytest.raises(Conflict, match="corrected already"):
        judge(database, ada, said(1, "ada-third", supersedes=first.id), 3)
    with pytest.raises(Conflict, match="names what it supersedes"):
        judge(database, ada, said(1, "ada-fourth"), 3)
    with database.read() as session:
        assert session.get_one(Item, 1).judged == 1
        assert len(session.scalars(select(Judgement)).all()) == 2


def test_what_does_not_fit_is_refused(two):
    database, project, (ada, bo, _) = two
    ask(database, project, ada, 0)
    for submission, message in (
        (said(1, "short"), "8 to 64"),
        (said(1, "no-such-guideline", guideline_version=1), "there are 0"),
        (said(1, "too-long-a-time", seconds=float("inf")), "inf seconds"),
        (Submission(client_id="wrong-content", item_id=1, content={"better": 2}), "better"),
        (Submission(client_id="more-content", item_id=1, content={"better": None, "x": 1}), "x"),
        (Submission(client_id="a-nul-comment", item_id=1, content={"better": None, "comment": "\0"}), "NUL"),
    ):
        with pytest.raises(Invalid, match=message):
            judge(database, ada, submission, 1)
    with pytest.raises(Denied, match="not handed"):
        judge(database, bo, said(1, "bo-was-not-asked"), 1)


def test_gold_comes_at_its_rate_to_everybody_once(sqlite):
    with sqlite.write() as session:
        (ada,) = people(session, 1)
        project = compare(session, overlap=1, gold_rate=0.25)
        items(session, project, 60)
        gold = {item.id for item in items(session, project, 40, gold={"better": 0})}
    order = []
    for number in range(60):
        order.append(ask(sqlite, project, ada, 0).item.id)
        judge(sqlite, ada, said(order[-1], f"number-{number:04d}"), 1)
    assert len(set(order)) == 60
    assert 6 <= sum(item in gold for item in order) <= 26
