"""The arena: hidden models, shuffled sides, one vote a turn, pairs of dialogues at the end."""

from __future__ import annotations

import json

import pytest

from burnish.studio.arena import Ballot, answer, conversation_dict, conversation_of, heard, say, start, vote
from burnish.studio.exporting import export
from burnish.studio.refusals import Conflict, Invalid, Unknown
from tests.studio.studio_people import SECRET, compare, people

MODELS = ["amber", "beryl", "coral"]


@pytest.fixture
def arena(database):
    with database.write() as session:
        ada, bo = people(session, 2)
        project = compare(session, kind="arena", overlap=1, options={"models": MODELS})
        yield session, project, ada, bo


def turn_of(session, conversation, text: str, now: int = 1):
    turn = say(session, conversation, text, now)
    answer(session, turn.id, "left", f"left to {text}")
    return answer(session, turn.id, "right", f"right to {text}")


def test_each_side_hears_its_own_answers_and_nobody_hears_who_it_is(arena):
    session, project, ada, bo = arena
    conversation = start(session, SECRET, project, ada, language="en", now=1)
    turn_of(session, conversation, "one")
    second = say(session, conversation, "two", 2)
    assert [message["content"] for message in heard(session, conversation, second, "right")] == [
        "one",
        "right to one",
        "two",
    ]
    with pytest.raises(Conflict, match="still being answered"):
        say(session, conversation, "three", 3)
    shown = json.dumps(conversation_dict(session, conversation))
    assert not any(model in shown for model in MODELS)
    with pytest.raises(Unknown):
        conversation_of(session, conversation.id, bo)
    answer(session, second.id, "left", "first")
    assert answer(session, second.id, "left", "again").left_text == "first"


def test_sides_and_models_are_drawn(arena):
    session, project, ada, _ = arena
    made = [start(session, SECRET, project, ada, language="en", now=1) for _ in range(60)]
    assert {(one.left, one.right) for one in made} == {(a, b) for a in MODELS for b in MODELS if a != b}


def test_a_turn_has_one_vote_and_the_same_vote_twice_is_one(arena):
    session, project, ada, bo = arena
    conversation = start(session, SECRET, project, ada, language="en", now=1)
    turn = turn_of(session, conversation, "one")
    ballot = Ballot(client_id="a-client-id", turn_id=turn.id, better="left")
    made, repeated = vote(session, ada, ballot, 2)
    assert not repeated
    assert vote(session, ada, ballot, 3) == (made, True)
    assert conversation_dict(session, conversation)["models"] == {
        "left": conversation.left,
        "right": conversation.right,
    }
    for wrong, error in (
        (Ballot(client_id="a-client-id", turn_id=turn.id, better="right"), Conflict),
        (Ballot(client_id="other-client-id", turn_id=turn.id, better="right"), Conflict),
        (Ballot(client_id="third-client-id", turn_id=99, better="right"), Unknown),
    ):
        with pytest.raises(error):
            vote(session, ada, wrong, 4)
    with pytest.raises(Unknown):
        vote(session, bo, Ballot(client_id="of-another-person", turn_id=turn.id, better="left"), 4)
    unanswered = say(session, conversation, "two", 5)
    with pytest.raises(Invalid, match="have to answer"):
        vote(session, ada, Ballot(client_id="much-too-early", turn_id=unanswered.id, better=None), 6)


def test_votes_become_pairs_of_dialogues(arena):
    session, project, ada, _ = arena
    conversation = start(session, SECRET, project, ada, language="en", now=1)
    first = turn_of(session, conversation, "one")
    vote(session, ada, Ballot(client_id="first-vote", turn_id=first.id, better=None, both_bad=True), 2)
    second = turn_of(session, conversation, "two")
    vote(session, ada, Ballot(client_id="second-vote", turn_id=second.id, better="right"), 3)
    (line,) = export(session, project, "preferences", "jsonl")
    row = json.loads(line)
    assert [message["content"] for message in row["prompt"]] == ["one"]
    assert [c["rank"] for c in row["completions"]] == [1, 0]
    assert [c["policy_version"] for c in row["completions"]] == [conversation.left, conversation.right]
    said = [message["content"] for message in row["completions"][1]["messages"]]
    assert said == ["right to one", "two", "right to two"]
    assert [json.loads(text)["completions"][1]["rank"] for text in export(session, project, "rankings", "jsonl")] == [
        0,
        0,
    ]
    assert ada.name not in line


def test_an_arena_needs_two_models_and_a_shared_language(arena):
    session, project, ada, _ = arena
    with pytest.raises(Invalid, match="share"):
        start(session, SECRET, project, ada, language="sv", now=1)
    alone = compare(session, slug="alone", kind="arena", overlap=1, options={"models": ["amber"]})
    with pytest.raises(Invalid, match="two or more models"):
        start(session, SECRET, alone, ada, language="en", now=1)
