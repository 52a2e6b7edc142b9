"""Self-play pairs: matched by prompt, equal answers passed over, chats by their first turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from burnish.errors import DataError
from burnish.example import Completion, Example, Message, assistant, user
from burnish.synth.spin import SelfPlay, demonstrations_by_prompt


def answer(text: str, **fields) -> Completion:
    return Completion(messages=(assistant(text),), **fields)


def example(prompt: str, *texts: str, id: str = "p") -> Example:
    return Example(id=id, prompt=(user(prompt),), completions=tuple(answer(text) for text in texts))


def play(*demonstrations: Example, **options) -> SelfPlay:
    return SelfPlay(demonstrations=demonstrations_by_prompt(demonstrations), **options)


def sides(pairs: list[Example]) -> list[tuple[str, str]]:
    return [(pair.completions[0].text, pair.completions[1].text) for pair in pairs]


def test_the_demonstration_is_chosen_and_the_own_answer_rejected_with_its_tokens():
    own = answer("Opal? No.", token_ids=(4, 5), logps=(-1.0, -2.0), finish="stop", policy_version="v")
    answered = Example(id="p", prompt=(user("Name a gem."),), completions=(own,))
    (pair,), outcome = play(example("Name a gem.", "an opal.", id="other")).pairs(answered)
    assert outcome == "paired"
    assert pair.id == "p"
    assert pair.completions == (answer("an opal.", rank=0), replace(own, rank=1))


def test_a_prompt_is_known_by_what_it_says_and_by_its_id_where_two_say_the_same():
    game = play(example("Hi", "one", id="1"), example("Hi", "two", id="2"), example("Ho", "three", id="p"))
    assert sides(game.pairs(example("Hi", "x", id="2"))[0]) == [("two", "x")]
    assert sides(game.pairs(example("Hi", "x", id="p"))[0]) == [("one", "x")]
    assert game.pairs(example("Hu", "x", id="1")) == ([], "no_demonstration")


def test_a_system_message_and_tools_belong_to_the_prompt():
    plain = example("Hi", "one")
    told = replace(plain, prompt=(Message(role="system", content="Be kind."), *plain.prompt))
    armed = replace(plain, tools=({"name": "clock"},))
    for other in (told, armed):
        assert play(plain).pairs(other)[1] == "no_demonstration"
        assert play(other).pairs(replace(other, completions=(answer("x"),)))[1] == "paired"


@pytest.mark.parametrize("own", ["an opal.", " an opal.\n"])
def test_an_answer_that_equals_the_demonstration_gives_no_pair(own: str):
    game = play(example("Hi", "an opal."), pairs_per_prompt=4)
    assert game.pairs(example("Hi", own)) == ([], "same")
    assert sides(game.pairs(example("Hi", own, "An opal."))[0]) == [("an opal.", "An opal.")]


def test_thinking_tells_answers_apart():
    thought = Completion(messages=(Message(role="assistant", content="an opal.", thinking="a gem"),))
    answered = Example(id="p", prompt=(user("Hi"),), completions=(thought,))
    assert play(example("Hi", "an opal.")).pairs(answered)[1] == "paired"


def test_several_answers_make_several_pairs_each_once_in_their_order():
    answered = example("Hi", "b", "a", "b", "c")
    assert sides(play(example("Hi", "d")).pairs(answered)[0]) == [("d", "b")]
    pairs, _ = play(example("Hi", "d"), pairs_per_prompt=9).pairs(answered)
    assert sides(pairs) == [("d", "b"), ("d", "a"), ("d", "c")]
    assert [pair.id for pair in pairs] == ["p", "p/2", "p/3"]


def test_a_chat_is_compared_by_its_first_turn():
    chat = Completion(messages=(assistant("one"), user("More?"), assistant("two")))
    (pair,), _ = play(Example(id="p", prompt=(user("Hi"),), completions=(chat,))).pairs(example("Hi", "x"))
    assert pair.completions[0] == answer("one", rank=0)


def test_what_is_no_demonstration_is_named():
    assert play(example("Hi", "a")).pairs(example("Hi")) == ([], "unanswered")
    with pytest.raises(DataError, match=r"example 'p' has 2 completions; expected demonstrations.*burnish best"):
        play(example("Hi", "a", "b"))
    for message in (Message(role="assistant", content="a", weight=0.0), user("a")):
        with pytest.raises(DataError, match="example 'p' does not begin its answer with an assistant turn"):
            play(Example(id="p", prompt=(user("Hi"),), completions=(Completion(messages=(message,)),)))
