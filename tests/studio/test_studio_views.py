"""Numbers about the work, against values worked out by hand and simulated people of known habits."""

from __future__ import annotations

import math
import random

import pytest

from burnish.studio.adjudication import resolve
from burnish.studio.assignment import flag, next_task, skip
from burnish.studio.judgements import Submission, submit
from burnish.studio.refusals import Invalid
from burnish.studio.tables import Flag, Project
from burnish.studio.views.agreement import agreement, alpha
from burnish.studio.views.bias import bias
from burnish.studio.views.leaderboard import leaderboard
from burnish.studio.views.progress import progress
from burnish.studio.views.ratings import rated, ratings, strengths
from tests.studio.studio_people import SECRET, compare, items, people


def test_alpha_of_krippendorffs_own_example():
    """Four observers, twelve units, five values: nominal 0.743, interval 0.849 (Krippendorff 2011, "Computing...")."""
    rows = {
        "a": [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        "b": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        "c": [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        "d": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    }
    data = {who: {str(i): float(v) for i, v in enumerate(values) if v is not None} for who, values in rows.items()}
    nominal, interval = alpha(data, "nominal"), alpha(data, "interval")
    assert nominal["alpha"] == pytest.approx(0.743, abs=5e-4)
    assert interval["alpha"] == pytest.approx(0.849, abs=5e-4)
    assert nominal["low"] < nominal["alpha"] < nominal["high"]
    assert (nominal["units"], nominal["people"]) == (11, 4)
    assert alpha(data, "nominal") == nominal
    assert alpha({"a": {"1": 1.0}, "b": {"2": 2.0}}, "nominal") is None


def test_strengths_are_those_of_bradley_and_terry_with_one_tie_more():
    """Two models, 9 wins to 3 and a tie shared out: odds (9 + 0.5) to (3 + 0.5)."""
    games = [("a", "b", -1)] * 9 + [("a", "b", 1)] * 3
    low, high = sorted(strengths(["a", "b"], games))
    assert high - low == pytest.approx(400 * math.log10(9.5 / 3.5), abs=0.01)
    unbeaten = rated([[("a", "b", -1)]] * 20)
    assert [entry["model"] for entry in unbeaten] == ["a", "b"]
    assert math.isfinite(unbeaten[0]["high"])
    assert (unbeaten[0]["wins"], unbeaten[1]["losses"]) == (20, 20)
    assert rated([]) == []


@pytest.fixture
def voted(database):
    """Three people compare 60 pairs: two prefer the longer answer, one always takes the first on the screen."""
    drawn = random.Random(0)
    with database.write() as session:
        everybody = people(session, 3)
        project = compare(session, overlap=3)
        for item in items(session, project, 60):
            texts = ["short", "a longer answer"]
            drawn.shuffle(texts)
            models = {"short": "terse", "a longer answer": "wordy"}
            item.answers = [{"messages": [{"role": "assistant", "content": t}], "model": models[t]} for t in texts]
        session.flush()
        for number, person in enumerate(everybody):
            while (handed := next_task(session, SECRET, project, person, now=1)).item is not None:
                lengths = [len(handed.item.answers[a]["messages"][-1]["content"]) for a in handed.lease.shown_order]
                place = 0 if number == 2 else lengths.index(max(lengths))
                content = {"better": place, "strength": 1}
                client_id = f"person-{number}-item-{handed.item.id}"
                submit(session, person, Submission(client_id=client_id, item_id=handed.item.id, content=content), 2)
        yield session, project


def test_habits_show_in_the_bias_panel(voted):
    session, project = voted
    found = bias(session, project)
    assert found["longer"]["low"] > 0.6
    lazy = found["people"][2]
    assert lazy["first"]["estimate"] == 1.0
    assert lazy["first"]["low"] > 0.9
    assert 0.3 < found["people"][0]["first"]["estimate"] < 0.7
    assert found["people"][0]["agrees"]["estimate"] == 1.0
    assert lazy["agrees"]["high"] < 0.75
    assert found["first"]["count"] == 180


def judged_by_habit(session, kind: str, contents) -> Project:
    """Three people judge 40 items of three answers of different lengths; `contents(person, lengths)` is what each says
    of the answers as they stand on the screen.
    """
    drawn = random.Random(1)
    everybody = people(session, 3)
    project = compare(session, slug=kind, kind=kind, overlap=3, options={"scales": ["helpful"]})
    for item in items(session, project, 40, num_answers=3):
        texts = ["x", "x" * 20, "x" * 300]
        drawn.shuffle(texts)
        item.answers = [{"messages": [{"role": "assistant", "content": text}], "model": None} for text in texts]
    session.flush()
    for number, person in enumerate(everybody):
        while (handed := next_task(session, SECRET, project, person, now=1)).item is not None:
            lengths = [len(handed.item.answers[a]["messages"][-1]["content"]) for a in handed.lease.shown_order]
            sent = Submission(
                client_id=f"{kind}-{number}-item-{handed.item.id}",
                item_id=handed.item.id,
                content=contents(number, lengths),
            )
            submit(session, person, sent, 2)
    return project


def by_length(lengths: list[int]) -> list[int]:
    """The longest has rank 0."""
    return [sorted(lengths, reverse=True).index(length) for length in lengths]


def test_habits_of_ranking_show_as_pairs(database):
    """One ranks by length, one leaves the answers as they stand, one says that all are as good."""
    with database.write() as session:
        project = judged_by_habit(
            session, "rank", lambda number, lengths: {"ranks": [by_length(lengths), [0, 1, 2], [0, 0, 0]][number]}
        )
        found = bias(session, project)
    long, lazy, even = found["people"]
    assert (long["longer"]["estimate"], long["longer"]["count"]) == (1.0, 120)
    assert 0.3 < long["first"]["estimate"] < 0.7
    assert (lazy["first"]["estimate"], lazy["votes"]) == (1.0, 40)
    assert 0.3 < lazy["longer"]["estimate"] < 0.7
    assert even["first"] is even["longer"] is even["offset"] is found["gap"] is None
    assert found["first"]["count"] == found["longer"]["count"] == 240
    assert found["first"]["low"] > 0.5


def test_habits_of_rating_show_as_points(database):
    """Each step in length is a point for one, another gives one point less for the same, the third always gives 3."""

    def contents(number: int, lengths: list[int]) -> dict[str, object]:
        given = [[4 - rank, 3 - rank, 3][number] for rank in by_length(lengths)]
        return {"scores": [{"helpful": points} for points in given]}

    with database.write() as session:
        project = judged_by_habit(session, "rate", contents)
        found = bias(session, project)
    assert found["gap"]["estimate"] == pytest.approx((2 * (1 + 1 + 2) + 0) / 9)
    assert found["gap"]["count"] == 360
    offsets = [one["offset"]["estimate"] for one in found["people"]]
    assert offsets == pytest.approx([3 - 2.5, 2 - 3.0, 3 - 2.5])
    assert all(one["offset"]["low"] <= one["offset"]["estimate"] for one in found["people"])
    assert found["people"][1]["longer"]["estimate"] == 1.0
    assert found["people"][2]["longer"] is None


def test_the_model_that_is_preferred_is_rated_above(voted):
    session, project = voted
    best, other = ratings(session, project)
    assert (best["model"], other["model"]) == ("wordy", "terse")
    assert best["low"] > other["high"]
    assert best["wins"] + best["ties"] + best["losses"] == 180
    assert best["low"] <= best["rating"] <= best["high"]


def test_agreement_and_leaderboard_count_what_agrees(voted):
    session, project = voted
    measure = agreement(session, project)["better"]
    assert 0 < measure["alpha"] < 0.8
    assert (measure["units"], measure["people"]) == (60, 3)
    lines = leaderboard(session, project)
    assert [line["agreed"] for line in lines[:2]] == [{"en": 60}, {"en": 60}]
    assert lines[2]["total"] < 50
    assert lines[2]["judged"] == 60
    counts = progress(session, project, 1)
    assert counts["languages"]["en"]["done"] == 60
    assert counts["languages"]["is"] == {"done": 0, "begun": 0, "untouched": 0, "withdrawn": 0, "goal": 0}


def test_gold_items_show_who_says_what_is_right(database):
    with database.write() as session:
        ada, bo = people(session, 2)
        project = compare(session, overlap=1, gold_rate=1.0)
        items(session, project, 4, gold={"better": 1})
        items(session, project, 2)
        for person, right in ((ada, 3), (bo, 0)):
            for number in range(4):
                handed = next_task(session, SECRET, project, person, now=1)
                assert handed.item.gold is not None
                better = handed.lease.shown_order.index(1 if number < right else 0)
                client_id = f"{person.pseudonym}-{number}-gold"
                content = {"better": better, "strength": 1}
                submit(session, person, Submission(client_id=client_id, item_id=handed.item.id, content=content), 2)
        lines = {line["pseudonym"]: line for line in leaderboard(session, project)}
    assert [(lines[one.pseudonym]["gold"], lines[one.pseudonym]["gold_right"]) for one in (ada, bo)] == [(4, 3), (4, 0)]
    assert {(line["judged"], line["total"]) for line in lines.values()} == {(0, 0)}


def test_views_of_other_kinds_are_refused(sqlite):
    with sqlite.write() as session:
        project = compare(session, kind="spans", overlap=1)
        for view in (agreement, bias, ratings):
            with pytest.raises(Invalid, match="of the kind 'spans' has no"):
                view(session, project)


def test_progress_tells_of_each_language_and_of_the_queues_health(database):
    """Two languages, one with a quota; of the queue: what is held now, skipped, flagged, and how old the oldest is."""
    with database.write() as session:
        ada, bo = people(session, 2)
        project = compare(session, overlap=1, quotas={"is": 7}, lease_seconds=60)
        for language, count, created in (("en", 3, 500), ("is", 2, 300)):
            items(session, project, count, language=language, created_at=created)
        items(session, project, 1, gold={"better": 0}, created_at=1)
        first = next_task(session, SECRET, project, ada, now=1000, language="en").item
        said = {"better": None}
        submit(session, ada, Submission(client_id="ada-judged", item_id=first.id, content=said), 1000)
        second = next_task(session, SECRET, project, ada, now=1000, language="en").item
        flag(session, second.id, ada, reason="harmful", comment="", now=1000)
        skip(session, second.id, ada, reason="unclear", now=1000)
        for person, language in ((ada, "en"), (bo, "is")):
            next_task(session, SECRET, project, person, now=1000, language=language)
        found = progress(session, project, 1000)
        later = progress(session, project, 61_000)
        seen = session.query(Flag).one()
        resolve(session, seen.id, bo, resolution="withdrawn", now=1000)
        end = progress(session, project, 1000)
    empty = {"done": 0, "begun": 0, "untouched": 0, "withdrawn": 0}
    assert found["languages"] == {
        "en": {**empty, "done": 1, "untouched": 2, "goal": 3},
        "is": {**empty, "untouched": 2, "goal": 7},
    }
    assert [found[name] for name in ("held", "skipped", "flagged", "oldest_open")] == [2, 1, 1, 300]
    assert (later["held"], later["skipped"]) == (0, 1), "leases end"
    assert (end["flagged"], end["languages"]["en"]["withdrawn"], end["languages"]["en"]["goal"]) == (0, 1, 2)


def test_the_leaderboard_counts_agreed_work_by_language_and_puts_the_most_first(database):
    with database.write() as session:
        ada, bo, cy = people(session, 3)
        project = compare(session, overlap=2)
        for language in ("en", "is"):
            items(session, project, 3, language=language)
        for person, languages in ((ada, ("en", "is")), (bo, ("is",)), (cy, ("en",))):
            for language in languages:
                while (
                    handed := next_task(session, SECRET, project, person, now=1, language=language)
                ).item is not None:
                    better = handed.lease.shown_order.index(1 if person is cy and handed.item.id == 1 else 0)
                    content = {"better": better, "strength": 1}
                    name = f"{person.pseudonym}-{handed.item.id}-vote"
                    submit(session, person, Submission(client_id=name, item_id=handed.item.id, content=content), 2)
        lines = leaderboard(session, project)
    assert [(line["pseudonym"], line["agreed"], line["total"], line["judged"]) for line in lines] == [
        (ada.pseudonym, {"en": 2, "is": 3}, 5, 6),
        (bo.pseudonym, {"is": 3}, 3, 3),
        (cy.pseudonym, {"en": 2}, 2, 3),
    ]
