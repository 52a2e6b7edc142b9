"""The own format reads back unchanged, and a bad row says file, row, field, what was found and what is allowed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.errors import BadRow, DataError
from burnish.example import (
    ROLES,
    WORKED,
    Completion,
    Example,
    Message,
    assistant,
    example_dict,
    example_from,
    message_dict,
    messages_from,
    read_jsonl,
    user,
    write_jsonl,
)

TEXT = st.text(max_size=8)
NUMBER = st.floats(allow_nan=False, width=64)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
MESSAGES = st.lists(
    st.builds(
        Message,
        role=st.sampled_from(ROLES),
        content=TEXT,
        thinking=st.none() | TEXT,
        tool_calls=st.lists(OBJECT, max_size=2).map(tuple),
        tool_call_id=st.none() | TEXT,
        name=st.none() | TEXT,
        weight=st.floats(0, 1),
    ),
    max_size=3,
).map(tuple)
COMPLETIONS = st.builds(
    Completion,
    messages=MESSAGES,
    rank=st.none() | st.integers(),
    label=st.none() | st.booleans(),
    score=st.none() | NUMBER,
    reasons=st.lists(TEXT, max_size=2).map(tuple),
    token_ids=st.none() | st.lists(st.integers(0), max_size=3).map(tuple),
    logps=st.none() | st.lists(NUMBER, max_size=3).map(tuple),
    finish=st.sampled_from([None, "stop", "length"]),
    policy_version=st.none() | TEXT,
)
EXAMPLES = st.builds(
    Example,
    id=TEXT,
    prompt=MESSAGES,
    completions=st.lists(COMPLETIONS, max_size=2).map(tuple),
    tools=st.lists(OBJECT, max_size=2).map(tuple),
    columns=OBJECT,
)


def read(row):
    return example_from(row, file="data.jsonl", line=7)


def answer(**fields):
    """A row whose completion has `fields`."""
    return {"completions": [{"messages": [{"role": "assistant", "content": "An opal."}], **fields}]}


def turn(**fields):
    """A row whose prompt is one turn with `fields`."""
    return {"prompt": [{"role": "user", "content": "Name a gem.", **fields}]}


@settings(deadline=None, max_examples=60)
@given(EXAMPLES)
def test_an_example_reads_back_unchanged(example):
    row = json.loads(json.dumps(example_dict(example)))
    assert read(row) == example


@settings(deadline=None, max_examples=20)
@given(st.lists(EXAMPLES, max_size=3))
def test_a_file_reads_back_unchanged(tmp_path_factory, examples):
    path = tmp_path_factory.mktemp("own") / "examples.jsonl"
    assert write_jsonl(path, examples) == len(examples)
    assert list(read_jsonl(path)) == examples
    assert [file.name for file in path.parent.iterdir()] == ["examples.jsonl"], "nothing is left beside it"


def test_the_worked_example_as_it_stands_in_a_file():
    assert example_dict(WORKED) == {
        "id": "worked",
        "prompt": [{"role": "user", "content": "Name a gem. Answer in lower case."}],
        "completions": [
            {"messages": [{"role": "assistant", "content": "an opal."}], "rank": 0, "score": 1.0},
            {"messages": [{"role": "assistant", "content": "An Opal!"}], "rank": 1, "score": 0.0},
        ],
        "columns": WORKED.columns,
    }


def test_fields_with_their_default_are_not_written():
    assert message_dict(user("hi")) == {"role": "user", "content": "hi"}
    assert example_dict(Example(id="x")) == {"id": "x", "prompt": [], "completions": []}


def test_the_text_of_a_completion_is_its_last_message():
    assert Completion(messages=(assistant("one"), user("two"), assistant("three"))).text == "three"
    assert Completion(messages=()).text == ""


def test_a_row_without_an_id_is_named_by_its_line():
    assert read({"prompt": []}).id == "7"
    assert read({"id": 12}).id == "12"


def test_thinking_may_go_by_the_name_of_the_openai_shape():
    row = {"role": "assistant", "content": None, "reasoning_content": "Which gem? "}
    assert messages_from([row], field="prompt", file="f", line=1)[0] == Message(
        role="assistant", content="", thinking="Which gem? "
    )


def test_content_may_be_absent_beside_tool_calls():
    call = {"type": "function", "function": {"name": "weigh", "arguments": {"carat": 2}}}
    (message,) = messages_from([{"role": "assistant", "tool_calls": [call]}], field="prompt", file="f", line=1)
    assert message.content == ""
    assert message.tool_calls == (call,)


BAD = [
    (5, "", "found 5; expected an object with prompt and completions"),
    ([], "", "found []; expected an object"),
    ({"promt": []}, "promt", "an unknown field; expected columns, completions, id, prompt, tools"),
    ({"id": None}, "id", "found None; expected a string"),
    ({"prompt": "hi"}, "prompt", "found 'hi'; expected a list"),
    ({"completions": {}}, "completions", "found {}; expected a list"),
    ({"tools": "hammer"}, "tools", "found 'hammer'; expected a list"),
    ({"tools": [{}, "hammer"]}, "tools[1]", "found 'hammer'; expected an object"),
    ({"columns": [1]}, "columns", "found [1]; expected an object"),
    ({"prompt": ["hi"]}, "prompt[0]", "found 'hi'; expected an object with role and content"),
    ({"prompt": [{"content": "hi"}]}, "prompt[0].role", "found None; expected one of system, developer, user"),
    (turn(role="human"), "prompt[0].role", "found 'human'; expected one of system, developer, user"),
    (turn(role=[]), "prompt[0].role", "found []; expected one of"),
    (turn(text="x"), "prompt[0].text", "an unknown field; expected content, name, reasoning_content, role"),
    (turn(content=None), "prompt[0].content", "found None; expected a string"),
    (turn(content=5), "prompt[0].content", "found 5; expected a string"),
    (turn(thinking=5), "prompt[0].thinking", "found 5; expected a string"),
    (turn(tool_calls="weigh"), "prompt[0].tool_calls", "found 'weigh'; expected a list"),
    (turn(tool_calls=["weigh"]), "prompt[0].tool_calls[0]", "found 'weigh'; expected an object"),
    (turn(tool_call_id=5), "prompt[0].tool_call_id", "found 5; expected a string"),
    (turn(name={}), "prompt[0].name", "found {}; expected a string"),
    (turn(weight=2), "prompt[0].weight", "found 2; expected a number from 0 to 1"),
    (turn(weight=True), "prompt[0].weight", "found True; expected a number from 0 to 1"),
    (turn(weight="1"), "prompt[0].weight", "found '1'; expected a number from 0 to 1"),
    ({"completions": ["An opal."]}, "completions[0]", "found 'An opal.'; expected an object with messages"),
    ({"completions": [{"rank": 0}]}, "completions[0].messages", "found None; expected a list"),
    (answer(messages=[{"role": "ai"}]), "completions[0].messages[0].role", "found 'ai'; expected one of"),
    (answer(ranks=0), "completions[0].ranks", "an unknown field; expected finish, label, logps, messages"),
    (answer(rank=1.5), "completions[0].rank", "found 1.5; expected an integer"),
    (answer(rank=True), "completions[0].rank", "found True; expected an integer"),
    (answer(label=1), "completions[0].label", "found 1; expected true or false"),
    (answer(score="good"), "completions[0].score", "found 'good'; expected a number"),
    (answer(score=False), "completions[0].score", "found False; expected a number"),
    (answer(finish="eos"), "completions[0].finish", "found 'eos'; expected stop or length"),
    (answer(policy_version=3), "completions[0].policy_version", "found 3; expected a string"),
    (answer(reasons="short"), "completions[0].reasons", "found 'short'; expected a list of strings"),
    (answer(token_ids=[1, "2"]), "completions[0].token_ids", "found [1, '2']; expected a list of integers"),
    (answer(token_ids=[True]), "completions[0].token_ids", "found [True]; expected a list of integers"),
    (answer(logps=[None]), "completions[0].logps", "found [None]; expected a list of numbers"),
]


@pytest.mark.parametrize(("row", "field", "message"), BAD, ids=[f"{field}-{i}" for i, (_, field, _) in enumerate(BAD)])
def test_a_bad_row_names_file_row_and_field(row, field, message):
    with pytest.raises(BadRow) as caught:
        read(row)
    assert str(caught.value).startswith(f"data.jsonl, row 7, field '{field}': ")
    assert message in str(caught.value)
    assert (caught.value.file, caught.value.line, caught.value.field) == ("data.jsonl", 7, field)
    assert isinstance(caught.value, DataError)


def test_a_long_value_is_shortened_in_the_message():
    with pytest.raises(BadRow) as caught:
        read({"prompt": "gem " * 1000})
    assert len(str(caught.value)) < 200
    assert "…; expected a list" in str(caught.value)


@pytest.mark.parametrize("line", ["{", "", "nothing"])
def test_a_line_that_is_not_json_is_named(tmp_path, line):
    path = tmp_path / "damaged.jsonl"
    path.write_text(json.dumps(example_dict(WORKED)) + "\n" + line + "\n", encoding="utf-8")
    rows = read_jsonl(path)
    assert next(rows) == WORKED
    with pytest.raises(BadRow, match=r"damaged\.jsonl, row 2, field '': found .*; expected JSON"):
        next(rows)


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "examples.jsonl"
    write_jsonl(path, [WORKED])

    def broken():
        yield WORKED
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_jsonl(path, broken())
    assert list(read_jsonl(path)) == [WORKED]


def test_writing_nothing_writes_an_empty_file(tmp_path):
    path = tmp_path / "examples.jsonl"
    assert write_jsonl(path, []) == 0
    assert list(read_jsonl(path)) == []
