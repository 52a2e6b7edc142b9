"""What a project's items become: examples for the trainers, each with where it came from.

    arena            preferences and rankings of its votes, see `arena_shapes.py`
    preferences      compare: the agreed better answer has rank 0, the other 1; rank, rate: every pair told apart
    rankings         compare, rank, rate: all answers with their agreed ranks; rate: also the mean score
    unpaired         thumbs: the answer with the agreed label
    demonstrations   demonstrate: one example for each answer that was written
    prompts          reformulate, create: each prompt that was written; evaluate: each that was accepted

Every example has a column `studio`: project, item (the key it was imported with), language, lineage, the agreement's
weight, who decided, and the votes: pseudonym, content in the item's order, the order shown, time, seconds, version of
the guidelines. Ties make no preference. Items that are open, withdrawn, disputed or gold are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sqlalchemy import null, select
from sqlalchemy.orm import Session

from burnish.example import Completion, Example, Message, assistant, messages_from, user
from burnish.studio.agreed import Outcome, outcomes
from burnish.studio.arena_shapes import arena_examples
from burnish.studio.clock import iso
from burnish.studio.lineage import ancestry
from burnish.studio.record import spoken
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Item, Judgement, Person, Project


@dataclass(frozen=True, kw_only=True)
class Judged:
    """An item with what came of it.

    Attributes:
        project, item: which.
        came_to: what was agreed; None where each judgement stands for itself.
        votes: the judgements that count and hold.
        provenance: the column `studio`.
    """

    project: Project
    item: Item
    came_to: Outcome | None
    votes: Sequence[Judgement]
    provenance: Mapping[str, Any]


Shape = Callable[[Judged], Iterator[Example]]


def examples(session: Session, project: Project, shape: str) -> Iterator[Example]:
    """The examples of a project in one shape, in the order of import.

    Raises:
        Invalid: there is no such shape, or this kind of work has none of it.
    """
    if shape not in SHAPES:
        raise Invalid("shape", f"found the shape '{shape}'; expected one of {', '.join(SHAPES)}")
    kinds, make = SHAPES[shape]
    if project.kind not in kinds:
        raise Invalid("shape", f"work of the kind '{project.kind}' makes no {shape}; that is for {', '.join(kinds)}")
    if project.kind == "arena":
        yield from arena_examples(session, project, ties=shape == "rankings")
        return
    for judged in judged_items(session, project):
        yield from make(judged)


def judged_items(session: Session, project: Project) -> Iterator[Judged]:
    """The items that somebody judged, gold and withdrawn ones left out, in the order of import."""
    pseudonyms = dict(session.execute(select(Person.id, Person.pseudonym)).all())
    agreed = outcomes(session, project)
    ordinary = (Item.project_id == project.id, Item.gold.is_(null()), Item.state != "withdrawn", Item.judged > 0)
    for item in session.scalars(select(Item).where(*ordinary).order_by(Item.id)):
        votes = spoken(session, item)
        came_to = agreed.get(item.id)
        plain = {
            "project": project.slug,
            "kind": project.kind,
            "item": item.key,
            "language": item.language,
            "lineage": [{"project": one["project"], "item": one["item"]} for one in ancestry(session, item)],
            "agreement": came_to.weight if came_to else 1.0,
            "decided_by": came_to.decided_by if came_to else "each",
            "votes": [_vote(vote, pseudonyms) for vote in votes],
        }
        yield Judged(project=project, item=item, came_to=came_to, votes=votes, provenance=plain)


def _vote(vote: Judgement, pseudonyms: Mapping[int, str]) -> dict[str, Any]:
    return {
        "judgement": vote.id,
        "pseudonym": pseudonyms[vote.person_id],
        "content": vote.content,
        "shown_order": vote.shown_order,
        "at": iso(vote.created_at),
        "seconds": vote.seconds,
        "guideline_version": vote.guideline_version,
    }


def _preferences(judged: Judged) -> Iterator[Example]:
    for ranked in _rankings(judged):
        pairs = list(itertools.combinations(ranked.completions, 2))
        for number, pair in enumerate(pairs):
            better, worse = sorted(pair, key=_rank)
            if _rank(better) == _rank(worse):
                continue
            name = ranked.id if len(pairs) == 1 else f"{ranked.id}/{number}"
            completions = (_with_rank(better, 0), _with_rank(worse, 1))
            yield Example(id=name, prompt=ranked.prompt, completions=completions, columns=ranked.columns)


def _rankings(judged: Judged) -> Iterator[Example]:
    if judged.came_to is None or judged.came_to.content is None:
        return
    ranks, scores = ranks_of(judged.project.kind, judged.came_to.content)
    completions = tuple(
        Completion(messages=_messages(answer["messages"]), rank=rank, score=score, policy_version=answer["model"])
        for answer, rank, score in zip(judged.item.answers, ranks, scores, strict=True)
    )
    if len(completions) > 1:
        yield _example(judged, judged.item.key, _messages(judged.item.prompt), completions)


def _unpaired(judged: Judged) -> Iterator[Example]:
    if judged.came_to is not None and judged.came_to.content is not None:
        answer = judged.item.answers[0]
        label = judged.came_to.content["good"]
        completion = Completion(messages=_messages(answer["messages"]), label=label, policy_version=answer["model"])
        yield _example(judged, judged.item.key, _messages(judged.item.prompt), (completion,))


def _demonstrations(judged: Judged) -> Iterator[Example]:
    for vote in judged.votes:
        completion = Completion(messages=(assistant(vote.content["text"]),))
        yield _example(judged, f"{judged.item.key}/{vote.id}", _messages(judged.item.prompt), (completion,), vote)


def _prompts(judged: Judged) -> Iterator[Example]:
    before = tuple(m for m in _messages(judged.item.prompt) if m.role in ("system", "developer"))
    if judged.project.kind != "evaluate":
        for vote in judged.votes:
            prompt = (*before, user(vote.content["text"]))
            yield _example(judged, f"{judged.item.key}/{vote.id}", prompt, (), vote)
    elif judged.came_to is not None and judged.came_to.content is not None:
        content = judged.came_to.content
        if content["verdict"] != "reject":
            own = _messages(judged.item.prompt)
            prompt = (*before, user(content["text"])) if content["verdict"] == "edit" else own
            yield _example(judged, judged.item.key, prompt, ())


def _example(
    judged: Judged,
    name: str,
    prompt: tuple[Message, ...],
    completions: tuple[Completion, ...],
    vote: Judgement | None = None,
) -> Example:
    provenance = dict(judged.provenance)
    if vote is not None:
        provenance["votes"] = [one for one in provenance["votes"] if one["judgement"] == vote.id]
    columns = {**judged.item.origin.get("columns", {}), "studio": provenance}
    return Example(id=name, prompt=prompt, completions=completions, columns=columns)


def ranks_of(kind: str, content: Mapping[str, Any]) -> tuple[list[int], Sequence[float | None]]:
    """The rank, and the score if there is one, of each answer, as a content that compares, ranks or rates says."""
    if kind == "compare":
        better = content["better"]
        return ([0, 0] if better is None else [int(better != 0), int(better != 1)]), (None, None)
    if kind == "rank":
        return list(content["ranks"]), [None] * len(content["ranks"])
    means = [fmean(scores.values()) for scores in content["scores"]]
    best_first = sorted(set(means), reverse=True)
    return [best_first.index(mean) for mean in means], means


def _messages(rows: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    return messages_from(rows, field="messages", file="the studio", line=0)


def _rank(completion: Completion) -> int:
    assert completion.rank is not None  # made with one, above
    return completion.rank


def _with_rank(completion: Completion, rank: int) -> Completion:
    return Completion(
        messages=completion.messages, rank=rank, score=completion.score, policy_version=completion.policy_version
    )


SHAPES: Mapping[str, tuple[tuple[str, ...], Shape]] = {
    "preferences": (("compare", "rank", "rate", "arena"), _preferences),
    "rankings": (("compare", "rank", "rate", "arena"), _rankings),
    "unpaired": (("thumbs",), _unpaired),
    "demonstrations": (("demonstrate",), _demonstrations),
    "prompts": (("reformulate", "create", "evaluate"), _prompts),
}
