"""Preferences, rankings and labels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.data.recognise import recognised
from burnish.data.row import Row
from burnish.errors import BadRow
from burnish.example import Example, Message, assistant, message_dict, user

ASK, SAY, MUD = user("Name a gem."), assistant("Opal."), assistant("Mud.")
SYSTEM = Message(role="system", content="Be brief.")


def dicts(*messages: Message) -> list[dict[str, Any]]:
    return [message_dict(message) for message in messages]


def one(form: str, values: dict[str, Any], **options: Any) -> Example:
    row = Row(values=values, file="rows.jsonl", line=1, **options)
    assert recognised([row]).name == form
    (example,) = recognised([row]).convert(row)
    return example


def refusal(values: dict[str, Any], **options: Any) -> str:
    row = Row(values=values, file="rows.jsonl", line=1, **options)
    with pytest.raises(BadRow) as caught:
        recognised([row]).convert(row)
    return str(caught.value)


def answers(example: Example) -> list[tuple[Message, ...]]:
    return [completion.messages for completion in example.completions]


class TestPreference:
    @pytest.mark.parametrize("prompt", ["Name a gem.", dicts(ASK)])
    @pytest.mark.parametrize("chosen", ["Opal.", message_dict(SAY), dicts(SAY), dicts(ASK, SAY)])
    @pytest.mark.parametrize("rejected", ["Mud.", dicts(MUD), dicts(ASK, MUD)])
    def test_every_shape_means_the_same(self, prompt: Any, chosen: Any, rejected: Any) -> None:
        example = one("preference", {"prompt": prompt, "chosen": chosen, "rejected": rejected})
        assert example.prompt == (ASK,)
        assert answers(example) == [(SAY,), (MUD,)]
        assert [completion.rank for completion in example.completions] == [0, 1]

    def test_system_turn_is_in_the_answers_only(self) -> None:
        values = {"prompt": "Name a gem.", "chosen": dicts(SYSTEM, ASK, SAY), "rejected": dicts(SYSTEM, ASK, MUD)}
        assert one("preference", values).prompt == (SYSTEM, ASK)

    def test_system_turn_is_in_the_prompt_only(self) -> None:
        values = {"prompt": dicts(SYSTEM, ASK), "chosen": dicts(ASK, SAY), "rejected": "Mud."}
        assert one("preference", values).prompt == (SYSTEM, ASK)

    def test_system_turn_is_in_one_answer_only(self) -> None:
        values = {"prompt": "Name a gem.", "chosen": dicts(ASK, SAY), "rejected": dicts(SYSTEM, ASK, MUD)}
        assert one("preference", values).prompt == (SYSTEM, ASK)

    def test_system_turns_differ(self) -> None:
        other = Message(role="system", content="Be long.")
        values = {"prompt": "Name a gem.", "chosen": dicts(SYSTEM, ASK, SAY), "rejected": dicts(other, ASK, MUD)}
        assert "found a system turn that differs from that of 'chosen'" in refusal(values)
        values = {"prompt": dicts(SYSTEM, ASK), "chosen": "Opal.", "rejected": dicts(other, ASK, MUD)}
        assert "found a system turn that differs from the prompt's" in refusal(values)

    def test_turns_after_the_prompt_stay_in_the_answer(self) -> None:
        long = dicts(ASK, SAY, ASK, MUD)
        values = {"prompt": "Name a gem.", "chosen": long, "rejected": dicts(ASK, MUD)}
        assert answers(one("preference", values)) == [(SAY, ASK, MUD), (MUD,)]

    def test_shared_beginning_of_the_text_is_not_cut(self) -> None:
        values = {"prompt": "Q", "chosen": "It is opal.", "rejected": "It is mud."}
        example = one("preference", values)
        assert [completion.text for completion in example.completions] == ["It is opal.", "It is mud."]

    def test_prompt_differs(self) -> None:
        values = {"prompt": "Name a gem.", "chosen": dicts(ASK, SAY), "rejected": dicts(user("Name a rock."), MUD)}
        assert "field 'rejected': found a dialogue that begins with other turns than 'prompt'" in refusal(values)

    def test_same_answers(self) -> None:
        values = {"prompt": "Name a gem.", "chosen": "Opal.", "rejected": "Opal."}
        assert "field 'rejected': found the same answer as 'chosen'" in refusal(values)

    def test_empty_answer(self) -> None:
        assert "field 'chosen': found empty text" in refusal({"prompt": "Q", "chosen": "", "rejected": "A"})

    def test_answer_that_only_repeats_the_prompt(self) -> None:
        values = {"prompt": dicts(ASK, SAY), "chosen": dicts(ASK, SAY), "rejected": "Mud."}
        assert "field 'chosen': found no assistant turn after the prompt" in refusal(values)

    def test_answer_of_another_type(self) -> None:
        assert "field 'chosen': found 3" in refusal({"prompt": "Q", "chosen": 3, "rejected": "A"})

    def test_conversation_with_two_answers(self) -> None:
        turns = [{"from": "human", "value": "Name a gem."}]
        values = {"conversations": turns, "chosen": {"from": "gpt", "value": "Opal."}, "rejected": "Mud."}
        example = one("preference-sharegpt", values)
        assert (example.prompt, answers(example)) == ((ASK,), [(SAY,), (MUD,)])

    def test_answer_spoken_by_another(self) -> None:
        turns = [{"from": "human", "value": "Name a gem."}]
        values = {"conversations": turns, "chosen": {"from": "human", "value": "Opal."}, "rejected": "Mud."}
        assert "field 'chosen[0]': found a turn of role 'user' at the end" in refusal(values)


def hh(*messages: Message) -> str:
    speaker = {"user": "Human", "assistant": "Assistant"}
    return "".join(f"\n\n{speaker[message.role]}: {message.content}" for message in messages)


class TestDialogues:
    @pytest.mark.parametrize("shape", [hh, dicts])
    def test_common_turns_are_the_prompt(self, shape: Any) -> None:
        values = {"chosen": shape(ASK, MUD, ASK, SAY), "rejected": shape(ASK, MUD, ASK, MUD)}
        example = one("preference-dialogues", values)
        assert example.prompt == (ASK, MUD, ASK)
        assert answers(example) == [(SAY,), (MUD,)]

    def test_shared_characters_stay(self) -> None:
        values = {"chosen": hh(ASK, assistant("It is opal.")), "rejected": hh(ASK, assistant("It is mud."))}
        example = one("preference-dialogues", values)
        assert [completion.text for completion in example.completions] == ["It is opal.", "It is mud."]

    def test_two_answers_in_a_row(self) -> None:
        values = {"chosen": hh(ASK, SAY, MUD), "rejected": hh(ASK, MUD)}
        assert answers(one("preference-dialogues", values)) == [(SAY, MUD), (MUD,)]

    def test_last_user_turns_differ(self) -> None:
        values = {"chosen": hh(ASK, SAY), "rejected": hh(user("Name a rock."), MUD)}
        message = refusal(values)
        assert "field 'rejected': found the last user turn 'Name a rock.'; expected that of 'chosen'" in message

    def test_earlier_user_turns_differ(self) -> None:
        values = {"chosen": hh(ASK, SAY, ASK, SAY), "rejected": hh(user("Hm?"), SAY, ASK, MUD)}
        assert "found a turn of role 'user' that differs" in refusal(values)

    def test_ends_with_the_user(self) -> None:
        values = {"chosen": hh(ASK, SAY), "rejected": hh(ASK, MUD, ASK)}
        assert "field 'rejected[2]': found a turn of role 'user' at the end" in refusal(values)

    def test_empty_answer(self) -> None:
        message = refusal({"chosen": hh(ASK, assistant("")), "rejected": hh(ASK, MUD)})
        assert "field 'chosen[1]': found an empty assistant turn" in message

    def test_same(self) -> None:
        values = {"chosen": hh(ASK, SAY), "rejected": hh(ASK, SAY)}
        assert "found the same dialogue as 'chosen'" in refusal(values)

    def test_one_continues_the_other(self) -> None:
        values = {"chosen": hh(ASK, SAY), "rejected": hh(ASK, SAY, MUD)}
        assert "field 'chosen': found a dialogue that the other one only continues" in refusal(values)

    def test_not_a_dialogue(self) -> None:
        assert "expected a dialogue that begins with" in refusal({"chosen": "Opal.", "rejected": "Mud."})

    def test_no_question(self) -> None:
        values = {"chosen": hh(SAY, ASK, SAY), "rejected": hh(MUD, ASK, SAY)}
        assert "field 'chosen[0]': found an assistant turn" in refusal(values)

    words = st.text("abc Human:Asitn\n", min_size=1, max_size=12).map(str.strip).filter(bool)
    words = words.filter(lambda text: "\n\nHuman:" not in text and "\n\nAssistant:" not in text)

    @given(st.lists(st.tuples(words, words), max_size=3), words, words, words)
    def test_prompt_is_the_common_prefix_by_turns(
        self, turns: list[tuple[str, str]], asked: str, good: str, worse: str
    ) -> None:
        shared = [message for q, a in turns for message in (user(q), assistant(a))] + [user(asked)]
        values = {"chosen": hh(*shared, assistant(good)), "rejected": hh(*shared, assistant(worse))}
        if good == worse:
            assert "the same dialogue" in refusal(values)
            return
        example = one("preference-dialogues", values)
        assert example.prompt == tuple(shared)
        assert answers(example) == [(assistant(good),), (assistant(worse),)]


class TestUnpaired:
    @pytest.mark.parametrize("label", [True, False])
    def test_label_judges_the_last_answer(self, label: bool) -> None:
        example = one("unpaired", {"messages": dicts(ASK, MUD, ASK, SAY), "label": label})
        assert example.prompt == (ASK, MUD, ASK)
        assert answers(example) == [(SAY,)]
        assert example.completions[0].label is label
        assert not example.columns

    def test_prompt_and_completion(self) -> None:
        example = one("unpaired", {"prompt": "Name a gem.", "completion": "Mud.", "label": False})
        assert (example.prompt, answers(example)) == ((ASK,), [(MUD,)])

    @pytest.mark.parametrize("label", [1, "true", "good", [True]])
    def test_label_is_not_boolean(self, label: Any) -> None:
        message = refusal({"messages": dicts(ASK, SAY), "label": label})
        assert f"field 'label': found {label!r}; expected true (desirable) or false" in message

    def test_csv_has_no_booleans(self) -> None:
        values = {"prompt": "Name a gem.", "completion": "Mud.", "label": "False"}
        assert one("unpaired", values, kind="csv").completions[0].label is False
        assert "field 'label'" in refusal({**values, "label": "bad"}, kind="csv")

    def test_tool_calls_after_the_last_question_belong_to_the_answer(self) -> None:
        call = Message(role="assistant", content="", tool_calls=({"function": {"name": "f", "arguments": {}}},))
        reply = Message(role="tool", content="1")
        example = one("unpaired", {"messages": dicts(ASK, call, reply, SAY), "label": True})
        assert answers(example) == [(call, reply, SAY)]


class TestRanked:
    def test_ranks_with_ties(self) -> None:
        values = {"prompt": "Name a gem.", "completions": ["Mud.", "Opal.", "Ruby."], "ranks": [5, 1, 1]}
        assert [completion.rank for completion in one("ranked", values).completions] == [1, 0, 0]

    def test_scores(self) -> None:
        values = {"prompt": "Name a gem.", "responses": ["Mud.", "Opal.", "Ruby."], "scores": [0.1, 0.9, 0.5]}
        completions = one("ranked", values).completions
        assert [completion.rank for completion in completions] == [2, 0, 1]
        assert [completion.score for completion in completions] == [0.1, 0.9, 0.5]

    def test_one_value_is_missing(self) -> None:
        values = {"prompt": "Q", "completions": ["A", "B"], "ranks": [0]}
        assert "field 'ranks': found 1 for 2 completions" in refusal(values)

    def test_value_is_no_number(self) -> None:
        values = {"prompt": "Q", "completions": ["A", "B"], "ranks": [0, "1"]}
        assert "field 'ranks[1]': found '1'" in refusal(values)

    def test_same_text_with_two_ranks(self) -> None:
        values = {"prompt": "Q", "completions": ["A", "A"], "ranks": [0, 1]}
        assert "field 'completions[1]': found the same text as completions[0]" in refusal(values)

    def test_empty_answer_under_its_own_name(self) -> None:
        values = {"prompt": "Q", "answers": ["A", " "], "ranks": [0, 1]}
        message = refusal(values, names={"completions": "answers"})
        assert "field 'answers[1]': found empty text" in message
