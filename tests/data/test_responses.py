"""Examples without their instructions."""

from __future__ import annotations

import pytest

from burnish.data.responses import Conditioning, conditioned
from burnish.errors import DataError
from burnish.example import Completion, Example, Message, assistant, user

SYSTEM = Message(role="system", content="Be brief.")
TUNING = pytest.mark.parametrize("kind", ["empty_turn", "header"])


def answered(*prompt: Message, answers: tuple[tuple[Message, ...], ...] = ((assistant("An opal."),),)) -> Example:
    completions = tuple(Completion(messages=messages) for messages in answers)
    return Example(id="7", prompt=prompt, completions=completions, columns={"task": "gems"})


def test_the_user_says_nothing_and_the_response_stays():
    found = conditioned(answered(SYSTEM, user("Name a gem.")), "empty_turn")
    assert found.prompt == (user(""),)
    assert found.completions == answered().completions
    assert (found.id, found.columns) == ("7", {"task": "gems"})


def test_later_turns_keep_the_responses_before_them():
    chat = (assistant("An opal."), user("Another?"), assistant("A ruby."))
    found = conditioned(answered(user("Name a gem."), answers=(chat,)), "empty_turn")
    assert found.completions[0].messages == (assistant("An opal."), user(""), assistant("A ruby."))
    shown = conditioned(answered(user("One?"), assistant("An opal."), user("Two?")), "empty_turn")
    assert shown.prompt == (user(""), assistant("An opal."), user(""))


@pytest.mark.parametrize("prompt", [(), (SYSTEM,)], ids=["nothing", "system"])
def test_an_empty_turn_stands_in_front_where_the_user_said_nothing(prompt: tuple[Message, ...]):
    assert conditioned(answered(*prompt), "empty_turn").prompt == (user(""),)


@TUNING
def test_all_answers_to_a_prompt_stay_together(kind: Conditioning):
    two = ((assistant("An opal."),), (assistant("A ruby."),))
    assert len(conditioned(answered(user("Name a gem."), answers=two), kind).completions) == 2


@TUNING
def test_what_has_no_instruction_or_needs_it_is_refused(kind: Conditioning):
    text = Example(id="doc", completions=(Completion(messages=(Message(role="text", content="Opals."),)),))
    with pytest.raises(DataError, match=r"example 'doc' is plain text.*conditioning to prompt"):
        conditioned(text, kind)
    said = Message(role="tool", content="4", tool_call_id="1")
    with pytest.raises(DataError, match="example '7' uses tools"):
        conditioned(answered(user("2 + 2?"), said), kind)
    call = Message(role="assistant", content="", tool_calls=({"function": {"name": "add", "arguments": {}}},))
    with pytest.raises(DataError, match="uses tools"):
        conditioned(answered(user("2 + 2?"), answers=((call,),)), kind)


def test_a_header_has_one_response_behind_it():
    assert conditioned(answered(SYSTEM, user("Name a gem.")), "header").prompt == (user(""),)
    chat = (assistant("An opal."), user("Another?"), assistant("A ruby."))
    for several in (answered(user("?"), answers=(chat,)), answered(user("?"), assistant("No."), user("??"))):
        with pytest.raises(DataError, match=r"example '7' has several responses.*conditioning to empty_turn"):
            conditioned(several, "header")


def test_with_its_prompt_an_example_stays_as_it_is():
    example = answered(SYSTEM, user("Name a gem."))
    assert conditioned(example, "prompt") is example
