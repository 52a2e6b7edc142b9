"""Assignment and judgements: any interleaving of leases, expiries, crashes and repetitions keeps the promises."""

from __future__ import annotations

import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select, text

from burnish.studio import queue
from burnish.studio.assignment import next_task, release, renew, skip
from burnish.studio.database import Database
from burnish.studio.judgements import Submission, submit
from burnish.studio.refusals import Conflict, Denied, Invalid
from burnish.studio.tables import Base, Item, Judgement, Lease, Person, Project, Skip
from tests.studio.studio_people import SECRET, compare, items, people

OVERLAP, NUM_ITEMS, NUM_GOLD, NUM_PEOPLE, LEASE_MS = 2, 4, 1, 4, 60_000


def said(item_id: int, client_id: str, better: int | None = 0, **more) -> Submission:
    content = {"better": better} if better is None else {"better": better, "strength": 1}
    return Submission(client_id=client_id, item_id=item_id, content=content, **more)


class Studio(RuleBasedStateMachine):
    """People who ask, judge, repeat, skip, give back, come late, or lose what they asked for; the clock jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(f"sqlite:///{Path(self.folder.name) / 'studio.db'}")
        Base.metadata.create_all(self.database.engine)
        self.now = 1
        self.sent: dict[str, tuple[int, Submission]] = {}
        self.quota = 0

    def teardown(self) -> None:
        self.database.close()
        self.folder.cleanup()

    @initialize(quota=st.integers(1, NUM_ITEMS))
    def begin(self, quota: int) -> None:
        self.quota = quota
        with self.database.write() as session:
            people(session, NUM_PEOPLE)
            project = compare(session, overlap=OVERLAP, gold_rate=0.3, quotas={"en": quota})
            items(session, project, NUM_ITEMS)
            items(session, project, NUM_GOLD, gold={"better": 0})
        self.handed = {person: set() for person in range(1, NUM_PEOPLE + 1)}

    @rule(person=st.integers(1, NUM_PEOPLE))
    def ask(self, person: int) -> None:
        with self.database.write() as session:
            who = session.get_one(Person, person)
            begun = self.begun(session)
            handed = next_task(session, SECRET, session.get_one(Project, 1), who, now=self.now)
            if handed.item is None:
                return
            item = handed.item
            assert item.id in begun or item.gold is not None or len(begun) < self.quota, "over the quota"
            held = select(Lease.id).where(Lease.item_id == item.id, Lease.state == "live", Lease.expires_at > self.now)
            assert item.gold is not None or item.judged + len(session.scalars(held).all()) <= OVERLAP, "overfull"
            done = select(Judgement.id).where(Judgement.item_id == item.id, Judgement.person_id == person)
            skipped = select(Skip.id).where(Skip.item_id == item.id, Skip.person_id == person)
            assert session.scalar(done) is None, "handed out twice"
            assert session.scalar(skipped) is None, "handed out after a skip"
            assert item.state == "open"
            self.handed[person].add(item.id)

    def begun(self, session) -> set[int]:
        """Ordinary items that somebody judged or holds."""
        judged = select(Judgement.item_id).where(Judgement.counted)
        held = select(Lease.item_id).where(Lease.state == "live", Lease.expires_at > self.now)
        return {item for query in (judged, held) for item in session.scalars(query) if item <= NUM_ITEMS}

    @rule(person=st.integers(1, NUM_PEOPLE))
    def ask_and_crash(self, person: int) -> None:
        """The server dies before it commits; the browser never heard of the item."""
        with suppress(KeyboardInterrupt), self.database.write() as session:
            next_task(session, SECRET, session.get_one(Project, 1), session.get_one(Person, person), now=self.now)
            raise KeyboardInterrupt

    def drawn(self, data, stray: bool) -> tuple[int, int]:
        """A person and an item: one that they were handed, or any."""
        pairs = sorted((person, item) for person, known in self.handed.items() for item in known)
        if pairs and not stray:
            return data.draw(st.sampled_from(pairs))
        return data.draw(st.integers(1, NUM_PEOPLE)), data.draw(st.integers(1, NUM_ITEMS + NUM_GOLD))

    @rule(data=st.data(), stray=st.booleans(), crash=st.booleans())
    def judge(self, data, stray: bool, crash: bool) -> None:
        """Early, late, twice or never handed; after a crash the browser does not know whether it arrived."""
        person, item = self.drawn(data, stray)
        submission = said(item, uuid.uuid4().hex)
        try:
            with self.database.write() as session:
                receipt = submit(session, session.get_one(Person, person), submission, self.now)
                assert not receipt.repeated
                if crash:
                    raise KeyboardInterrupt
        except Denied:
            assert item not in self.handed[person]
        except Conflict:
            assert any(who == person and one.item_id == item for who, one in self.sent.values())
        except KeyboardInterrupt:
            return
        else:
            assert item in self.handed[person]
            self.sent[submission.client_id] = (person, submission)

    @rule(data=st.data())
    def repeat(self, data) -> None:
        """The outbox sends again what was taken in."""
        if not self.sent:
            return
        person, submission = self.sent[data.draw(st.sampled_from(sorted(self.sent)))]
        with self.database.write() as session:
            assert submit(session, session.get_one(Person, person), submission, self.now).repeated
        other = said(submission.item_id, submission.client_id, better=1)
        with pytest.raises(Conflict, match="another judgement"), self.database.write() as session:
            submit(session, session.get_one(Person, person), other, self.now)

    @rule(data=st.data(), stray=st.booleans(), what=st.integers(0, 2))
    def give_up(self, data, stray: bool, what: int) -> None:
        person, item = self.drawn(data, stray)
        try:
            with self.database.write() as session:
                who = session.get_one(Person, person)
                if what == 0:
                    skip(session, item, who, reason="unclear", now=self.now)
                elif what == 1:
                    release(session, item, who)
                else:
                    renew(session, item, who, self.now)
        except Denied:
            assert item not in self.handed[person]
        except Conflict:
            assert what != 1

    @rule(share=st.sampled_from([0.1, 0.6, 1.1]))
    def wait(self, share: float) -> None:
        self.now += int(share * LEASE_MS)

    @invariant()
    def promises(self) -> None:
        with self.database.read() as session:
            judged = session.scalars(select(Judgement)).all()
            ordinary = session.scalars(select(Item).where(Item.id <= NUM_ITEMS)).all()
        assert {one.client_id for one in judged} == set(self.sent), "lost or doubled"
        assert max(Counter((one.item_id, one.person_id) for one in judged).values(), default=0) <= 1
        counted = Counter(one.item_id for one in judged if one.counted)
        arrived = Counter(one.item_id for one in judged)
        for item in ordinary:
            assert item.judged == counted[item.id] <= OVERLAP
            assert (item.state == "done") == (item.judged == OVERLAP)
            assert arrived[item.id] == counted[item.id] or item.state == "done", "needed, and not counted"


Studio.TestCase.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStudio = Studio.TestCase


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
