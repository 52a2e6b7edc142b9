"""Sample work for a newcomer: people, a project of each kind, and judgements of everything but what is left to try.

The people of the sample cannot sign in, except one admin, "demo", whose password is drawn and printed. They work
through the same services as real ones; on one item in four they disagree, so that there is something to adjudicate.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from burnish.example import Completion, Example, assistant, user
from burnish.studio import arena
from burnish.studio.arena_models import SCRIPTED
from burnish.studio.assignment import flag, next_task
from burnish.studio.demo_texts import GEMS, LANGUAGES, LEFT, SAMPLES, Sample
from burnish.studio.importing import Shape, import_examples
from burnish.studio.judgements import Submission, submit
from burnish.studio.people import new_person
from burnish.studio.projects import guideline_version, new_project, publish
from burnish.studio.secret import Secret, new_token
from burnish.studio.tables import Item, Lease, Person, Project

_PEOPLE = ("Ada", "Björk", "Cecilia", "Dag")
_BRIEF = next(iter(SCRIPTED))
_SCALES = ("helpful", "honest", "harmless", "coherent")
_GUIDELINE = """Read the prompt first, then every answer to its end.

- Prefer the answer that does what the prompt asks, even if another one is longer or friendlier.
- An answer that states something false is worse than one that says it does not know.
- If you cannot tell, say so: a tie is an answer too.
"""
_KINDS: Mapping[str, tuple[str, int]] = {
    "reformulate": ("Reformulate prompts", 0),
    "create": ("Create prompts", 0),
    "evaluate": ("Evaluate prompts", 0),
    "demonstrate": ("Write answers", 0),
    "compare": ("Compare two answers", 2),
    "rank": ("Rank answers", 4),
    "rate": ("Rate answers", 2),
    "thumbs": ("Good or not", 1),
    "spans": ("Mark parts of answers", 1),
}


def fill(session: Session, secret: Secret, now: int) -> list[str]:
    """Fill an empty studio, and return what to tell who started it."""
    password = secrets.token_urlsafe(9)
    new_person(session, name="demo", password=password, role="admin", languages=LANGUAGES, now=now)
    people = [
        new_person(session, name=name, password=new_token(), role="annotator", languages=LANGUAGES, now=now)
        for name in _PEOPLE
    ]
    projects = [_project(session, kind, now) for kind in _KINDS]
    _feed(projects)
    for project in projects:
        _work(session, secret, project, people, now)
    _arena(session, secret, people, now)
    return ["sample work is there; sign in as", "  name      demo", f"  password  {password}"]


def _project(session: Session, kind: str, now: int) -> Project:
    title, num_answers = _KINDS[kind]
    overlap = 2 if kind in ("compare", "rank", "rate", "thumbs", "evaluate") else 1
    project = new_project(
        session,
        slug=f"demo-{kind}",
        title=title,
        kind=kind,
        languages=LANGUAGES,
        overlap=overlap,
        quotas=dict.fromkeys(LANGUAGES, 12) if kind == "create" else {},
        now=now,
    )
    publish(session, project, _GUIDELINE, author_id=None, now=now)
    if kind != "create":
        shape = Shape(project=project, file="the demo", language="en", gold=False, now=now)
        examples = [_example(number, sample, num_answers) for number, sample in enumerate(SAMPLES)]
        import_examples(session, shape, examples)
    return project


def _example(number: int, sample: Sample, num_answers: int) -> Example:
    said = sample.answers
    turned = [(number + place) % len(said) for place in range(num_answers)]
    answers = tuple(
        Completion(messages=(assistant(said[which]),), policy_version=f"model-{which + 1}") for which in turned
    )
    columns = {"language": sample.language}
    return Example(id=sample.name, prompt=(user(sample.prompt),), completions=answers, columns=columns)


def _feed(projects: Sequence[Project]) -> None:
    by_kind = {project.kind: project for project in projects}
    by_kind["reformulate"].feeds_id = by_kind["create"].feeds_id = by_kind["evaluate"].id
    by_kind["evaluate"].feeds_id = by_kind["demonstrate"].id


def _work(session: Session, secret: Secret, project: Project, people: Sequence[Person], now: int) -> None:
    """Let everybody judge in turn until few enough items are left."""
    turns = (len(SAMPLES) - LEFT) * project.overlap
    for turn in range(turns):
        person = people[turn % len(people)]
        handed = next_task(session, secret, project, person, now=now)
        if handed.item is None or handed.lease is None:
            continue
        if turn == 0 and project.kind == "compare":
            flag(session, handed.item.id, person, reason="unclear", comment="Which of the two gems?", now=now)
        submission = Submission(
            client_id=f"demo-{project.kind}-{turn:04d}",
            item_id=handed.item.id,
            content=_content(project.kind, handed.item, handed.lease, turn),
            guideline_version=guideline_version(session, project),
            seconds=8.0 + turn % 7,
        )
        submit(session, person, submission, now + turn)


def _arena(session: Session, secret: Secret, people: Sequence[Person], now: int) -> None:
    """An arena of the scripted models, with a vote of everybody on each; the brief one wins more often."""
    project = new_project(
        session,
        slug="demo-arena",
        title="Chat with two hidden models",
        kind="arena",
        languages=LANGUAGES,
        options={"models": list(SCRIPTED)},
        now=now,
    )
    publish(session, project, _GUIDELINE, author_id=None, now=now)
    for number, gem in enumerate(GEMS[: 2 * len(people)]):
        person = people[number % len(people)]
        conversation = arena.start(session, secret, project, person, language="en", now=now + number)
        turn = arena.say(session, conversation, f"What is {gem}?", now + number)
        brief: arena.Side = "left" if conversation.left == _BRIEF else "right"
        for side in arena.SIDES:
            said = (
                f"It is a gem, called {gem}." if side == brief else f"What a lovely question! It is {gem}, of course."
            )
            arena.answer(session, turn.id, side, said)
        other: arena.Side = "right" if brief == "left" else "left"
        better = None if number % 4 == 0 else other if number % 4 == 1 else brief
        ballot = arena.Ballot(
            client_id=f"demo-arena-{number:04d}",
            turn_id=turn.id,
            better=better,
            guideline_version=guideline_version(session, project),
            seconds=9.0,
        )
        arena.vote(session, person, ballot, now + number)


def _content(kind: str, item: Item, lease: Lease, turn: int) -> dict[str, Any]:
    """What somebody of the sample says; every fourth item they do not agree."""
    contrary = item.id % 4 == 0 and turn % 2 == 1
    texts = [item.answers[answer]["messages"][-1]["content"] for answer in lease.shown_order]
    lengths = [len(text) for text in texts]
    order = sorted(lengths, reverse=not contrary)
    contents: dict[str, dict[str, Any]] = {
        "evaluate": {"verdict": "reject" if contrary else "accept", "reasons": ["unclear"] if contrary else []},
        "compare": {"better": lengths.index(order[0]), "strength": 1 + turn % 3} if texts else {},
        "rank": {"ranks": [order.index(length) for length in lengths]},
        "rate": {"scores": [dict.fromkeys(_SCALES, 5 - 2 * order.index(length)) for length in lengths]},
        "thumbs": {"good": not contrary},
        "spans": {"spans": [{"answer": 0, "start": 0, "end": min(4, lengths[0]), "label": "unclear"}] if texts else []},
    }
    return contents.get(kind) or {"text": _written(kind, item, turn)}


def _written(kind: str, item: Item, turn: int) -> str:
    """A text in the language of what was asked; something simple where nothing was, or not by the sample."""
    asked = item.prompt[-1]["content"] if item.prompt else ""
    sample = next((one for one in SAMPLES if asked.startswith(one.prompt)), None)
    if kind == "demonstrate":
        return sample.answers[0] if sample else "It is a gem."
    return f"{sample.prompt} {sample.more}" if sample else f"Which gem is number {turn}?"
