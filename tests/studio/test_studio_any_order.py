"""Any interleaving of leases, expiries, crashes and repetitions keeps the promises of assignment, on either engine.

SQLite lets one writer in after the other, so what can happen there is an order of whole transactions. On PostgreSQL two
can be open at once: then neither waits for the other, and one of them may die.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from itertools import permutations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text

from burnish.studio.assignment import next_task, release, renew, skip
from burnish.studio.database import Database
from burnish.studio.judgements import Submission, submit
from burnish.studio.refusals import Conflict, Denied
from burnish.studio.tables import Item, Judgement, Lease, Person, Project, Skip
from tests.studio.studio_people import SECRET, compare, items, people

OVERLAP, NUM_ITEMS, NUM_GOLD, NUM_PEOPLE, LEASE_MS = 2, 4, 1, 4, 60_000
PEOPLE = st.integers(1, NUM_PEOPLE)
PAIRS = st.sampled_from(list(permutations(range(1, NUM_PEOPLE + 1), 2)))


def said(item_id: int, client_id: str, better: int = 0) -> Submission:
    return Submission(client_id=client_id, item_id=item_id, content={"better": better, "strength": 1})


class Studio(RuleBasedStateMachine):
    """People who ask, judge, repeat, skip, give back, come late, or lose what they asked for; the clock jumps."""

    def __init__(self, empty: Callable[[], AbstractContextManager[Database]]) -> None:
        super().__init__()
        self.ended = ExitStack()
        self.database = self.ended.enter_context(empty())
        self.now = 1
        self.sent: dict[str, tuple[int, Submission]] = {}
        self.handed: dict[int, set[int]] = {person: set() for person in range(1, NUM_PEOPLE + 1)}
        self.quota: int | None = None

    def teardown(self) -> None:
        self.ended.close()

    @initialize(quota=st.none() | st.integers(1, NUM_ITEMS))
    def begin(self, quota: int | None) -> None:
        self.quota = quota
        with self.database.write() as session:
            people(session, NUM_PEOPLE)
            quotas = {} if quota is None else {"en": quota}
            project = compare(session, overlap=OVERLAP, gold_rate=0.3, quotas=quotas)
            items(session, project, NUM_ITEMS)
            items(session, project, NUM_GOLD, gold={"better": 0})

    def hand(self, session, person: int) -> int | None:
        """Ask for work and check what comes; the item."""
        begun, held = self.begun(session), self.held_by(session, person)
        project, who = session.get_one(Project, 1), session.get_one(Person, person)
        item = next_task(session, SECRET, project, who, now=self.now).item
        if item is None:
            return None
        if item.gold is None:
            assert item.id in begun or self.quota is None or len(begun) < self.quota, "over the quota"
        done = select(Judgement.id).where(Judgement.item_id == item.id, Judgement.person_id == person)
        skipped = select(Skip.id).where(Skip.item_id == item.id, Skip.person_id == person)
        assert session.scalar(done) is None, "handed out twice"
        assert session.scalar(skipped) is None, "handed out after a skip"
        assert item.state == "open"
        if item.id not in held:
            self.check_room(session, item)
        return item.id

    def check_room(self, session, item: Item) -> None:
        """That an item which was just handed out anew had a place."""
        held = select(Lease.id).where(Lease.item_id == item.id, Lease.state == "live", Lease.expires_at > self.now)
        assert item.gold is not None or item.judged + len(session.scalars(held).all()) <= OVERLAP, "overfull"

    def held_by(self, session, person: int) -> set[int]:
        live = (Lease.state == "live", Lease.expires_at > self.now)
        return set(session.scalars(select(Lease.item_id).where(Lease.person_id == person, *live)))

    def begun(self, session) -> set[int]:
        """Ordinary items that somebody judged or holds."""
        judged = select(Judgement.item_id).where(Judgement.counted)
        held = select(Lease.item_id).where(Lease.state == "live", Lease.expires_at > self.now)
        return {item for query in (judged, held) for item in session.scalars(query) if item <= NUM_ITEMS}

    @rule(person=PEOPLE)
    def ask(self, person: int) -> None:
        with self.database.write() as session:
            item = self.hand(session, person)
        if item is not None:
            self.handed[person].add(item)

    @rule(person=PEOPLE)
    def ask_and_crash(self, person: int) -> None:
        """The server dies before it commits; the browser never heard of the item."""
        with suppress(KeyboardInterrupt), self.database.write() as session:
            self.hand(session, person)
            raise KeyboardInterrupt

    @precondition(lambda self: not self.database.is_sqlite and self.quota is None)
    @rule(data=st.data(), pair=PAIRS, judges=st.booleans(), dies=st.sampled_from([None, 0, 1]))
    def two_at_once(self, data, pair: tuple[int, int], judges: bool, dies: int | None) -> None:
        """One asks or judges and another asks while that is not committed; one of the two may die.

        Without a quota, which all who ask share: then they come one after the other.
        """
        judged = None
        if judges and (known := sorted(self.handed[pair[0]])):
            judged = said(data.draw(st.sampled_from(known)), uuid.uuid4().hex)
        with self.database.read() as session:
            held = [self.held_by(session, person) for person in pair]
        with self.database.write() as one, self.database.write() as other:
            other.execute(text("SET LOCAL lock_timeout = '5s'"))  # who waited for the other would wait for ever
            first = self.hand(one, pair[0]) if judged is None else None
            if judged is not None:
                try:
                    submit(one, one.get_one(Person, pair[0]), judged, self.now)
                except Conflict:
                    judged = None
            second = self.hand(other, pair[1])
            if dies is not None:
                (one, other)[dies].rollback()
        if judged is not None and dies != 0:
            self.sent[judged.client_id] = (pair[0], judged)
        for number, item in enumerate((first, second)):
            if item is not None and dies != number:
                self.handed[pair[number]].add(item)
                if item not in held[number]:
                    with self.database.read() as session:
                        self.check_room(session, session.get_one(Item, item))

    def drawn(self, data, stray: bool) -> tuple[int, int]:
        """A person and an item: one that they were handed, or any."""
        pairs = sorted((person, item) for person, known in self.handed.items() for item in known)
        if pairs and not stray:
            return data.draw(st.sampled_from(pairs))
        return data.draw(PEOPLE), data.draw(st.integers(1, NUM_ITEMS + NUM_GOLD))

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


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_any_interleaving_keeps_the_promises(engine, request):
    empty = request.getfixturevalue(f"empty_{engine}")
    few = settings(max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(lambda: Studio(empty), settings=few)
