"""Who works and on what: 50 accounts that are signed in, and a project of pairs of answers that each needs several.

After the work, `found` reads from the database what became of it, and `mistakes` says what should not be: an item with
more or fewer judgements than asked, a person who judged or was handed one twice, a judgement that was acknowledged and
is not there, or is there and was never sent.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from burnish.example import Completion, Example, assistant, user
from burnish.studio.caller import Studio
from burnish.studio.importing import Shape, import_examples
from burnish.studio.people import new_person
from burnish.studio.projects import new_project, publish
from burnish.studio.sessions import begin_session
from burnish.studio.tables import Item, Judgement, Project

SLUG = "pairs"
OVERLAP = 3
GOLD_RATE = 0.05
_GOLD = 20
_WORDS = (
    "opal",
    "ruby",
    "jade",
    "topaz",
    "garnet",
    "amber",
    "pearl",
    "is",
    "a",
    "gem",
    "that",
    "people",
    "have",
    "worn",
)
_PASSWORD = "a password of the benchmark"


@dataclass(frozen=True, kw_only=True)
class Member:
    """Somebody who is signed in.

    Attributes:
        name: of the account.
        cookie: the session's cookie as a header has it.
        token: what goes along with requests that change something.
    """

    name: str
    cookie: str
    token: str


def gather(studio: Studio, *, people: int, items: int) -> list[Member]:
    """Fill an empty studio: accounts with passwords, sessions, a project with guidelines, items, a quota and gold."""
    drawn, now = random.Random(0), studio.clock()
    with studio.database.write() as session:
        settings: dict[str, Any] = {"overlap": OVERLAP, "gold_rate": GOLD_RATE, "quotas": {"en": items}}
        project = new_project(session, slug=SLUG, title="Pairs", kind="compare", languages=["en"], now=now, **settings)
        publish(session, project, _text(drawn, 300), author_id=None, now=now)
        for count, gold in ((items, False), (_GOLD, True)):
            shape = Shape(project=project, file=f"gold {gold}", language="en", gold=gold, now=now)
            import_examples(session, shape, [_pair(drawn, f"{gold}-{number}", gold) for number in range(count)])
        return [_member(studio, session, number, now) for number in range(people)]


def _member(studio: Studio, session: Session, number: int, now: int) -> Member:
    name = f"person {number}"
    person = new_person(session, name=name, password=_PASSWORD, role="annotator", languages=["en"], now=now)
    token = begin_session(session, studio.secret, person, days=1, now=now)
    return Member(name=name, cookie=f"{studio.cookie}={token}", token=studio.secret.request_token(token))


def _pair(drawn: random.Random, key: str, gold: bool) -> Example:
    answers = tuple(
        Completion(messages=(assistant(_text(drawn, 60 + 60 * place)),), rank=place if gold else None)
        for place in range(2)
    )
    return Example(id=key, prompt=(user(_text(drawn, 30)),), completions=answers)


def _text(drawn: random.Random, num_words: int) -> str:
    return " ".join(drawn.choices(_WORDS, k=num_words))


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the database holds after the work.

    Attributes:
        judged: of each ordinary item, how many judgements count.
        states: of each ordinary item.
        uncounted: judgements that do not count.
        pairs: item and name of who judged it, one for each judgement, gold ones included.
        client_ids: of all judgements.
    """

    judged: dict[int, int]
    states: dict[int, str]
    uncounted: int
    pairs: list[tuple[int, int]]
    client_ids: list[str]


def found(studio: Studio) -> Found:
    """Read it."""
    with studio.database.read() as session:
        project = session.scalars(select(Project).where(Project.slug == SLUG)).one()
        ordinary = (Item.project_id == project.id, Item.gold.is_(null()))
        states = dict(session.execute(select(Item.id, Item.state).where(*ordinary)).all())
        rows = session.scalars(select(Judgement).where(Judgement.project_id == project.id)).all()
    counted = Counter(row.item_id for row in rows if row.counted and row.item_id in states)
    return Found(
        judged={item: counted[item] for item in states},
        states=states,
        uncounted=sum(not row.counted for row in rows),
        pairs=[(row.item_id, row.person_id) for row in rows],
        client_ids=[row.client_id for row in rows],
    )


def mistakes(now: Found, *, handed: Sequence[tuple[str, int]], acknowledged: Collection[str]) -> list[str]:
    """What should not be, one line each.

    Args:
        now: what the database holds once nobody finds work any more.
        handed: who was handed which item, each time that an item came.
        acknowledged: client ids that the studio said it has.
    """
    wrong = {item: count for item, count in now.judged.items() if count != OVERLAP}
    unfinished = [item for item, state in now.states.items() if state != "done"]
    twice = [pair for pair, count in Counter(handed).items() if count > 1]
    judged_twice = [pair for pair, count in Counter(now.pairs).items() if count > 1]
    doubled = [client_id for client_id, count in Counter(now.client_ids).items() if count > 1]
    lost, stray = set(acknowledged) - set(now.client_ids), set(now.client_ids) - set(acknowledged)
    return [
        f"{len(bad)} {what}, such as {next(iter(bad))}"
        for what, bad in (
            (f"items without exactly {OVERLAP} judgements that count", wrong),
            ("items that are not done", unfinished),
            ("people who were handed an item twice", twice),
            ("people who judged an item twice", judged_twice),
            ("judgements that are there twice", doubled),
            ("judgements that were acknowledged and are lost", lost),
            ("judgements that nobody was told of", stray),
        )
        if bad
    ] + ([f"{now.uncounted} judgements were kept and not counted"] if now.uncounted else [])
