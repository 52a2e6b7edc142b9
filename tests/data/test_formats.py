"""Every format: its worked row is recognised as it alone, and converts to what it means."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.config import load as load_settings
from burnish.data.formats import FORMATS, Format, FormatName, known_fields
from burnish.data.read import Dataset, DataSettings, read
from burnish.data.recognise import recognised
from burnish.data.row import Row
from burnish.errors import BadRow, ConfigError, DataError
from burnish.example import WORKED, Completion, Example, Message, assistant, example_dict, user

Load = Callable[..., Dataset]

ASK, SAY = {"role": "user", "content": "Name a gem."}, {"role": "assistant", "content": "Opal."}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


def texts(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages]


def row(values: dict[str, Any], **options: Any) -> Row:
    return Row(values=values, file="rows.jsonl", line=1, **options)


def one(form: str, values: dict[str, Any], **options: Any) -> Example:
    here = row(values, **options)
    assert recognised([here]).name == form
    (example,) = recognised([here]).convert(here)
    return example


def refusal(values: dict[str, Any], **options: Any) -> str:
    here = row(values, **options)
    with pytest.raises(BadRow) as caught:
        recognised([here]).convert(here)
    return str(caught.value)


class TestRegistry:
    def test_names_are_those_of_the_setting(self) -> None:
        assert tuple(form.name for form in FORMATS) == get_args(FormatName)

    @pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
    def test_worked_row_fits_its_format_alone(self, form: Format) -> None:
        here = row(dict(form.worked))
        assert [other.name for other in FORMATS if other.fits(here.fields())] == [form.name]
        assert form.convert(here)

    @pytest.mark.parametrize("form", FORMATS[1:], ids=lambda form: form.name)
    def test_extra_columns_are_kept_and_do_not_confuse(self, form: Format) -> None:
        here = row({**form.worked, "source": "mine", "difficulty": 3})
        assert recognised([here]) is form
        for example in form.convert(here):
            assert example.columns["source"] == "mine"
            assert example.columns["difficulty"] == 3
            json.dumps(example_dict(example))

    @pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
    def test_a_row_without_a_needed_field_is_bad(self, form: Format, load: Load) -> None:
        need = form.needs[-1].split("|")[0]
        names = [name for name in form.needs[-1].split("|") if name in form.worked]
        damaged = {name: value for name, value in form.worked.items() if name not in names}
        with pytest.raises(BadRow, match=rf"row 2, field '{need}': found no such field.*format {form.name} \("):
            load(form.worked, damaged, {**form.worked, "id": "x"})


class TestOwnFormat:
    def test_worked_example_reads_back(self) -> None:
        assert one("burnish", example_dict(WORKED)) == WORKED

    def test_unknown_field_is_named(self) -> None:
        assert "field 'promptt'" in refusal({**example_dict(WORKED), "promptt": 1})

    words = st.text(min_size=1, max_size=8).filter(str.strip)
    messages = st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant"]),
        content=words,
        thinking=st.none() | words,
        weight=st.sampled_from([0.0, 0.5, 1.0]),
    )
    completions = st.builds(
        Completion,
        messages=st.lists(messages, min_size=1, max_size=2).map(tuple),
        rank=st.none() | st.integers(0, 3),
        label=st.none() | st.booleans(),
        score=st.none() | st.floats(-2, 2),
        token_ids=st.none() | st.lists(st.integers(0, 99), min_size=1).map(tuple),
    )
    examples = st.builds(
        Example,
        id=words,
        prompt=st.lists(messages, max_size=2).map(tuple),
        completions=st.lists(completions, max_size=3).map(tuple),
        columns=st.dictionaries(words, st.integers() | words, max_size=2),
    )

    @given(examples)
    def test_round_trip(self, example: Example) -> None:
        values = json.loads(json.dumps(example_dict(example)))
        assert one("burnish", values) == example


class TestConversations:
    def test_prompt_ends_before_the_first_answer(self) -> None:
        system = {"role": "system", "content": "Be brief."}
        example = one("messages", {"messages": [system, ASK, SAY, ASK, SAY]})
        assert texts(example.prompt) == [("system", "Be brief."), ("user", "Name a gem.")]
        assert [role for role, _ in texts(example.completions[0].messages)] == ["assistant", "user", "assistant"]

    def test_ends_with_the_user(self) -> None:
        assert "field 'messages[2]': found a turn of role 'user' at the end" in refusal({"messages": [ASK, SAY, ASK]})

    def test_begins_with_the_assistant(self) -> None:
        assert "field 'messages[0]': found an assistant turn" in refusal({"messages": [SAY, ASK, SAY]})

    def test_no_answer(self) -> None:
        assert "no assistant turn" in refusal({"messages": [ASK]})

    def test_unknown_role(self) -> None:
        message = refusal({"messages": [ASK, {"role": "bot", "content": "Opal."}]})
        assert "field 'messages[1].role': found 'bot'; expected one of system, developer, user" in message

    def test_unknown_keys_are_all_named_and_can_be_ignored(self) -> None:
        noisy = {**SAY, "timestamp": 3, "likes": 2}
        message = refusal({"messages": [ASK, noisy]})
        assert "found unknown keys likes, timestamp" in message
        assert "ignore: [likes, timestamp]" in message
        assert one("messages", {"messages": [ASK, noisy]}, ignore=frozenset({"likes", "timestamp"}))

    @pytest.mark.parametrize("content", ["", "  \n", [], [{"type": "text", "text": ""}]])
    def test_empty_answer(self, content: Any) -> None:
        message = refusal({"messages": [ASK, {"role": "assistant", "content": content}]})
        assert "field 'messages[1]': found an empty assistant turn" in message

    def test_empty_question(self) -> None:
        assert "found an empty user turn" in refusal({"messages": [{"role": "user", "content": " "}, SAY]})

    def test_text_parts_are_joined(self) -> None:
        parts = [{"type": "text", "text": "Name "}, {"type": "text", "text": "a gem."}]
        example = one("messages", {"messages": [{"role": "user", "content": parts}, SAY]})
        assert example.prompt == (user("Name a gem."),)

    def test_images_are_refused_by_name(self) -> None:
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "x"}}]
        message = refusal({"messages": [{"role": "user", "content": parts}, SAY]})
        assert "field 'messages[0].content[1]': found a part of type 'image_url'" in message

    def test_images_beside_the_turns_are_refused(self) -> None:
        values = {"messages": [ASK, SAY], "images": ["gem.png"]}
        assert "field 'images': found ['gem.png']; expected text alone" in refusal(values)
        assert one("messages", values, ignore=frozenset({"images"})).columns == {}
        assert one("messages", {"messages": [ASK, SAY], "images": []})

    def test_content_of_another_type(self) -> None:
        message = refusal({"messages": [ASK, {"role": "assistant", "content": 7}]})
        assert "field 'messages[1].content': found 7; expected a string" in message

    @pytest.mark.parametrize("tools", [[TOOL], json.dumps([TOOL])])
    def test_tools_as_list_or_json(self, tools: Any) -> None:
        assert one("messages", {"messages": [ASK, SAY], "tools": tools}).tools == (TOOL,)

    def test_tools_that_are_not_json(self) -> None:
        assert "field 'tools': found 'add, sub'" in refusal({"messages": [ASK, SAY], "tools": "add, sub"})

    def test_tool_calls(self) -> None:
        call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
        turn = {"role": "assistant", "content": None, "tool_calls": [call]}
        reply = {"role": "tool", "content": "1", "tool_call_id": "c1"}
        messages = one("messages", {"messages": [ASK, turn, reply, SAY]}).completions[0].messages
        assert messages[0] == Message(role="assistant", content="", tool_calls=(call,))
        assert messages[1] == Message(role="tool", content="1", tool_call_id="c1")

    def test_thinking_and_weight(self) -> None:
        turn = {"role": "assistant", "content": "Opal.", "reasoning_content": "Hm.", "weight": 0}
        (message,) = one("messages", {"messages": [ASK, turn]}).completions[0].messages
        assert (message.thinking, message.weight) == ("Hm.", 0.0)

    def test_system_column_comes_first(self) -> None:
        example = one("messages", {"messages": [ASK, SAY], "system": "Be brief."})
        assert texts(example.prompt)[0] == ("system", "Be brief.")
        assert not example.columns

    def test_system_column_that_contradicts(self) -> None:
        system = {"role": "system", "content": "Be long."}
        assert "field 'system'" in refusal({"messages": [system, ASK, SAY], "system": "Be brief."})


class TestShareGPT:
    def test_speakers(self) -> None:
        turns = [("system", "S"), ("human", "Q"), ("chatgpt", "A"), ("user", "Q2"), ("bing", "B")]
        example = one("sharegpt", {"conversations": [{"from": who, "value": text} for who, text in turns]})
        assert texts(example.prompt) == [("system", "S"), ("user", "Q")]
        assert texts(example.completions[0].messages) == [("assistant", "A"), ("user", "Q2"), ("assistant", "B")]

    def test_tool_turns(self) -> None:
        call = json.dumps({"name": "add", "arguments": {"a": 1}})
        turns = [("human", "1 + 0?"), ("function_call", call), ("observation", "1"), ("gpt", "1.")]
        values = {"conversations": [{"from": who, "value": text} for who, text in turns], "tools": json.dumps([TOOL])}
        messages = one("sharegpt", values).completions[0].messages
        assert [message.role for message in messages] == ["assistant", "tool", "assistant"]
        expected = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
        assert messages[0].tool_calls == (expected,)

    def test_call_that_is_not_json(self) -> None:
        turns = [{"from": "human", "value": "1 + 0?"}, {"from": "function_call", "value": "add(1)"}]
        assert "field 'conversations[1].value': found 'add(1)'" in refusal({"conversations": turns})

    def test_unknown_speaker(self) -> None:
        turns = [{"from": "alice", "value": "Hi"}, {"from": "gpt", "value": "Hi"}]
        assert "field 'conversations[0].from': found 'alice'; expected one of human" in refusal(
            {"conversations": turns}
        )

    def test_openai_turns_under_the_same_name(self) -> None:
        assert one("sharegpt", {"conversations": [ASK, SAY]}).prompt == (user("Name a gem."),)


class TestSingleAnswers:
    def test_prompt_completion_of_turns(self) -> None:
        example = one("prompt-completion", {"prompt": [ASK], "completion": [SAY]})
        assert example == one("prompt-completion", {"prompt": "Name a gem.", "response": "Opal."})

    def test_empty_completion(self) -> None:
        message = refusal({"prompt": "Name a gem.", "completion": " "})
        assert "field 'completion': found empty text" in message

    def test_empty_prompt(self) -> None:
        assert "field 'prompt': found empty text" in refusal({"prompt": "", "completion": "Opal."})

    def test_completion_that_begins_with_the_user(self) -> None:
        assert "field 'completion[0]'" in refusal({"prompt": "Q", "completion": [ASK, SAY]})

    def test_alpaca(self) -> None:
        values = {"instruction": "Add.", "input": "1, 2", "output": "3", "system": "S", "history": [["Q", "A"]]}
        example = one("alpaca", values)
        assert texts(example.prompt) == [("system", "S"), ("user", "Q")]
        said = [("assistant", "A"), ("user", "Add.\n\n1, 2"), ("assistant", "3")]
        assert texts(example.completions[0].messages) == said
        assert not example.columns

    @pytest.mark.parametrize("empty", ["", None])
    def test_alpaca_without_input(self, empty: str | None) -> None:
        example = one("alpaca", {"instruction": "Add.", "input": empty, "output": "3"})
        assert example.prompt == (user("Add."),)

    def test_alpaca_history_of_another_shape(self) -> None:
        message = refusal({"instruction": "Add.", "output": "3", "history": [["Q"]]})
        assert "field 'history[0]': found ['Q']" in message

    def test_instances_become_examples(self) -> None:
        instances = [{"input": "blue", "output": "Sapphire."}, {"input": "red", "output": "Ruby."}]
        here = row({"id": "t", "instruction": "Name a gem.", "instances": instances, "name": "gems"})
        examples = recognised([here]).convert(here)
        assert [example.id for example in examples] == ["t/0", "t/1"]
        assert [example.prompt[0].content for example in examples] == ["Name a gem.\n\nblue", "Name a gem.\n\nred"]
        assert [example.columns for example in examples] == [{"name": "gems"}] * 2

    def test_instance_without_output(self) -> None:
        message = refusal({"instruction": "Name a gem.", "instances": [{"input": "", "output": ""}]})
        assert "field 'instances[0].output': found empty text" in message

    def test_reference_answer_is_completion_and_column(self) -> None:
        example = one("question-answer", {"question": "2 + 2?", "answer": 4})
        assert example.completions[0].messages == (assistant("4"),)
        assert example.columns == {"answer": "4"}

    def test_turns_of_one_user(self) -> None:
        example = one("turns", {"question_id": 81, "turns": ["Q", "R", "S"], "reference": ["A"]})
        assert (example.id, example.prompt, example.completions) == ("81", (user("Q"),), ())
        assert example.columns == {"further_turns": ["R", "S"], "reference": ["A"]}

    def test_prompts_keep_a_label_that_is_a_word(self) -> None:
        example = one("prompts", {"prompt": "How do I kill a process?", "label": "safe"})
        assert example.completions == ()
        assert example.columns == {"label": "safe"}

    def test_prompt_that_ends_with_an_answer(self) -> None:
        assert "field 'prompt[1]'" in refusal({"prompt": [ASK, SAY]})

    def test_text(self) -> None:
        example = one("text", {"text": "Opal is a gem.", "label": 3})
        assert example.prompt == ()
        assert example.completions[0].messages == (Message(role="text", content="Opal is a gem."),)
        assert example.columns == {"label": 3}


class TestRecognition:
    def test_no_format(self, load: Load) -> None:
        with pytest.raises(DataError, match=r"no known format has the fields a, b(.|\n)*columns: \{prompt: question\}"):
            load({"a": 1, "b": 2})

    def test_ambiguous_row_lists_the_formats(self, load: Load) -> None:
        both = {"instruction_plus_input": "Q", "correct_output": "A", "text": "T"}
        with pytest.raises(DataError, match=r"fit several formats:(.|\n)*instruction-answer(.|\n)*text") as caught:
            load(both)
        assert "--format instruction-answer" in str(caught.value)
        assert load(both, format="text").examples[0].completions[0].text == "T"

    def test_mixed_rows_in_equal_parts(self, load: Load) -> None:
        with pytest.raises(DataError, match=r"rows are of several formats:\n  row 1: messages(.|\n)*row 2: text"):
            load({"messages": [ASK, SAY]}, {"text": "T"})

    def test_row_of_another_format_is_named(self, load: Load) -> None:
        chat = {"messages": [ASK, SAY]}
        with pytest.raises(BadRow, match=r"row 3, field 'messages'.*this row looks like alpaca"):
            load(chat, chat, {"instruction": "Q", "output": "A"})

    def test_row_with_a_field_of_another_format(self, load: Load) -> None:
        chat = {"messages": [ASK, SAY]}
        labelled = {**chat, "label": True}
        with pytest.raises(BadRow, match=r"row 3, field 'label'.*looks like unpaired"):
            load(chat, chat, labelled)
        assert load(chat, labelled, format="messages").examples[1].columns == {"label": True}

    def test_first_row_damaged(self, load: Load) -> None:
        good = {"prompt": "Q", "chosen": "A", "rejected": "B"}
        with pytest.raises(BadRow, match="row 1, field 'rejected'"):
            load({"prompt": "Q", "chosen": "A"}, good, good)


class TestColumns:
    def test_renamed(self, load: Load) -> None:
        dataset = load({"q": "Name a gem.", "a": "Opal.", "prompt": "x"}, columns={"prompt": "q", "completion": "a"})
        assert dataset.report.format == "prompt-completion"
        assert dataset.examples[0].prompt == (user("Name a gem."),)
        assert dataset.examples[0].columns == {"prompt": "x"}

    def test_message_names_the_column_of_the_data(self, load: Load) -> None:
        with pytest.raises(BadRow, match="field 'a': found 3; expected text"):
            load({"q": "Name a gem.", "a": 3}, columns={"prompt": "q", "completion": "a"})

    def test_moved_away(self, load: Load) -> None:
        values = {"instruction": "Q", "output": "A"}
        dataset = load(values, columns={"prompt": "instruction", "completion": "output"})
        assert (dataset.report.format, dataset.examples[0].columns) == ("prompt-completion", {})

    def test_no_such_column(self, load: Load) -> None:
        with pytest.raises(ConfigError, match=r"columns\.prompt: .*no column 'qestion'; did you mean 'question'"):
            load({"question": "Q"}, columns={"prompt": "qestion"})

    def test_no_such_field(self) -> None:
        assert "prompt" in known_fields()
        with pytest.raises(ConfigError, match="no format has a field 'promt'; did you mean 'prompt'"):
            load_settings(DataSettings, {"path": "x.json", "columns": {"promt": "question"}})

    def test_ignored_column_is_out_of_sight(self, load: Load) -> None:
        dataset = load({"prompt": "Q", "completion": "A", "label": 3}, ignore=["label"])
        assert dataset.report.format == "prompt-completion"
        assert dataset.examples[0].columns == {}


def test_settings_hold_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Opal.", encoding="utf-8")
    assert read(DataSettings(path=str(tmp_path / "a.txt"), format="text")).report.format == "text"
