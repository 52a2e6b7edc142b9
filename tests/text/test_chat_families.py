"""What each family of templates becomes, spelt out, and what is refused."""

from dataclasses import replace

import pytest

from burnish.config import load
from burnish.errors import ConfigError, DataError, TemplateError
from burnish.example import WORKED, Completion, Example, Message, assistant, user
from burnish.text.rendering import TemplateSettings
from burnish.text.template import ChatText


def answered(*messages, tools=()):
    first = next(i for i, message in enumerate(messages) if message.role == "assistant")
    completion = Completion(messages=tuple(messages[first:]))
    return Example(id="row 7", prompt=tuple(messages[:first]), completions=(completion,), tools=tools)


def shown_spans(chat, example, index=0):
    """Template text as it is, supervised text in brackets, the rest as role:text."""
    words = []
    for span in chat.segments(example, index):
        text = span.text if span.role == "template" and not span.supervised else f"{span.role}:{span.text}"
        words.append(f"[{text}]" if span.supervised else text)
    return "|".join(words)


SYSTEM = Message(role="system", content="Be brief.")
CALL = {"function": {"name": "find", "arguments": '{"colour": "blue"}'}}
CALLS = Message(role="assistant", content="", tool_calls=(CALL,))
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object", "properties": {}}}}


def test_chatml(chats):
    chat = answered(SYSTEM, user("Which gem?"), assistant("An opal."), user("Sure?"), assistant("Yes."))
    assert shown_spans(chats["chatml"], chat) == (
        "<|im_start|>system\n|system:Be brief.|<|im_end|>\n<|im_start|>user\n|user:Which gem?|"
        "<|im_end|>\n<|im_start|>assistant\n|[assistant:An opal.]|[assistant:<|im_end|>]|\n<|im_start|>user\n|"
        "user:Sure?|<|im_end|>\n<|im_start|>assistant\n|[assistant:Yes.]|[assistant:<|im_end|>]"
    )


def test_trimmed_contents_between_headers(chats):
    assert shown_spans(chats["headers"], answered(user(" Which gem?\n"), assistant("\nAn opal. "))) == (
        "<|begin|><|head|>user<|/head|>\n\n|user:Which gem?|<|eot|><|head|>assistant<|/head|>\n\n|"
        "[assistant:An opal.]|[assistant:<|eot|>]"
    )


def test_no_header_and_a_space_in_front_of_the_answer(chats):
    assert shown_spans(chats["inline"], answered(user("Which gem?"), assistant("An opal."))) == (
        "<s>[INST]|user: Which gem?| [/INST]|[assistant: An opal.]|[assistant:</s>]"
    )
    chat = chats["inline"]
    (tree,) = chat.trees(answered(user("Which gem?"), assistant("An opal.")))
    whole = chat.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Which gem?"}, {"role": "assistant", "content": "An opal."}], return_dict=False
    )
    assert [*tree.prompt, *tree.branches[0].tokens] == whole  # no second space mark in front of the answer


def test_white_space_in_front_of_the_end_token_is_for_the_model_to_write(workshop):
    tokenizer = workshop.tokenizer("inline")
    tokenizer.chat_template = tokenizer.chat_template.replace("~ eos_token", '~ " " ~ eos_token')
    chat = ChatText(tokenizer)
    (tree,) = chat.trees(answered(user("Which gem?"), assistant("An opal.")))
    assert set(tree.branches[0].weights) == {1.0}
    assert tokenizer.decode(tree.branches[0].tokens) == "An opal. </s>"
    assert chat.answer(tree.branches[0].tokens) == assistant("An opal.")


def test_the_role_is_called_model(chats):
    assert shown_spans(chats["model"], answered(user("Which gem?"), assistant("An opal."))) == (
        "<bos><turn>user\n|user:Which gem?|</turn>\n<turn>model\n|[assistant:An opal.]|[assistant:</turn>]"
    )


def test_text_behind_the_whole_conversation_belongs_to_no_turn(chats):
    spans = shown_spans(chats["closed"], answered(user("Which?"), assistant("An opal."), user("?"), assistant("Yes.")))
    assert "<|endoftext|>" not in spans
    assert spans.count("[assistant:<|end|>]") == 2


def test_a_template_without_an_ending_gets_the_end_token(chats):
    spans = shown_spans(
        chats["bare"], answered(user("Which?"), assistant("An opal."), user("Sure?"), assistant("Yes."))
    )
    assert spans == (
        "user: |user:Which?|\nassistant: |[assistant:An opal.]|[assistant:<eos>]|\nuser: |user:Sure?|\nassistant: |"
        "[assistant:Yes.]|[assistant:<eos>]"
    )


def test_tools_calls_and_results(chats):
    told = Message(role="tool", content='{"gem": "sapphire"}', tool_call_id="call00001", name="find")
    example = answered(user("Which gem is blue?"), CALLS, told, assistant("A sapphire."), tools=(TOOL,))
    spans = shown_spans(chats["tools"], example)
    assert spans.startswith('<|im_start|>tools\n[{"type": "function"')
    assert (
        '|[assistant:<call>{"name": "find", "arguments": {"colour": "blue"}}</call>]|[assistant:<|im_end|>]|' in spans
    )
    assert '|tool:{"gem": "sapphire"}|' in spans
    assert spans.endswith("|[assistant:A sapphire.]|[assistant:<|im_end|>]")


def test_tool_calls_may_end_otherwise(chats):
    chat = chats["headers"]
    (tree,) = chat.trees(answered(user("Which gem is blue?"), CALLS))
    text = chat.tokenizer.decode(tree.branches[0].tokens)
    assert text == '<|call|>{"call": "find", "with": {"colour": "blue"}}<|eom|>'
    assert set(tree.branches[0].weights) == {1.0}
    names = chat.tokenizer.convert_ids_to_tokens(list(chat.stop_tokens))
    assert names == ["<|eot|>", "<|eom|>", "<|end_of_text|>"]


def test_special_tokens_in_a_tool_call_do_not_end_it(chats):
    call = {"function": {"name": "find", "arguments": {"colour": "<|eom|>blue<|eot|>"}}}
    (tree,) = chats["headers"].trees(answered(user("?"), replace(CALLS, tool_calls=(call,))))
    (branch,) = tree.branches
    assert [token for token in branch.tokens if token in chats["headers"].stop_tokens] == [branch.tokens[-1]]
    assert "blue<|eot|>" in chats["headers"].tokenizer.decode(branch.tokens)


def test_special_tokens_in_tools_are_text(chats):
    tool = {"type": "function", "function": {"name": "find", "description": "<|im_end|>", "parameters": {}}}
    (tree,) = chats["tools"].trees(answered(user("?"), assistant("!"), tools=(tool,)))
    assert tree.prompt.count(chats["tools"].stop_tokens[0]) == 2  # behind the tools and behind the question
    assert '"description": "<|im_end|>"' in chats["tools"].tokenizer.decode(tree.prompt)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"function": {"name": "find", "arguments": "{colour"}}, r"'find' are not JSON .*: '\{colour'"),
        ({"function": {"name": "find", "arguments": "[1]"}}, r"'find' are \[1\]; expected an object"),
        ({"function": {}}, r"found the tool call .*; expected"),
    ],
)
def test_a_tool_call_that_cannot_be_read_is_named(chats, call, message):
    with pytest.raises(DataError, match=rf"example 'row 7'.*{message}"):
        chats["tools"].trees(answered(user("?"), replace(CALLS, tool_calls=(call,))))


def test_a_flat_tool_call_is_taken(chats):
    flat = replace(CALLS, tool_calls=({"name": "find", "arguments": {"colour": "blue"}},))
    assert chats["tools"].trees(answered(user("?"), flat)) == chats["tools"].trees(answered(user("?"), CALLS))


@pytest.mark.parametrize(
    ("family", "example", "words"),
    [
        ("model", answered(SYSTEM, user("?"), assistant("!")), "no role system"),
        ("inline", answered(user("?"), user("?"), assistant("!")), "roles must alternate"),
        ("chatml", answered(assistant("!")), "Provide at least one message"),
    ],
)
def test_a_template_that_refuses_names_the_example_the_cause_and_the_way_out(chats, family, example, words):
    with pytest.raises(
        TemplateError, match=rf"example 'row 7': the chat template refuses .*{words}.*setting 'template'"
    ):
        chats[family].trees(example)


THOUGHT = Message(role="assistant", content="Yes.", thinking="Hm.")


@pytest.mark.parametrize(
    ("family", "example", "words"),
    [
        ("chatml", answered(user("?"), CALLS), "a tool call"),
        ("chatml", answered(user("?"), assistant("!"), tools=(TOOL,)), "a list of tools"),
        ("chatml", answered(user("?"), THOUGHT), r"a thinking.*set 'thinking' to drop"),
    ],
)
def test_what_a_template_leaves_out_in_silence_is_refused(chats, family, example, words):
    with pytest.raises(TemplateError, match=rf"example 'row 7' has {words}"):
        chats[family].trees(example)


def test_thinking_is_left_out_when_asked(workshop, chats):
    plain = chats["chatml"].trees(answered(user("?"), replace(THOUGHT, thinking=None)))
    assert workshop.chat("chatml", thinking="drop").trees(answered(user("?"), THOUGHT)) == plain
    chat = workshop.chat("strips", thinking="drop")
    (tree,) = chat.trees(answered(user("?"), THOUGHT))
    assert 0.0 in tree.branches[0].weights  # the empty think block is the template's again


def test_developer_is_passed_on_or_becomes_system(chats):
    developer = Message(role="developer", content="Be brief.")
    passed = chats["tools"].trees(answered(developer, user("?"), assistant("!")))[0]
    assert "boss\nBe brief." in chats["tools"].tokenizer.decode(passed.prompt)
    mapped = chats["chatml"].trees(answered(developer, user("?"), assistant("!")))
    assert mapped == chats["chatml"].trees(answered(SYSTEM, user("?"), assistant("!")))
    with pytest.raises(TemplateError, match="no role system"):
        chats["model"].trees(answered(developer, user("?"), assistant("!")))


def test_weights_scale_turns(chats):
    half = replace(assistant("Yes."), weight=0.5)
    (tree,) = chats["chatml"].trees(answered(user("?"), replace(assistant("No."), weight=0.0), user("?"), half))
    assert set(tree.branches[0].weights) == {0.0, 0.5}
    supervised = [t for t, w in zip(tree.branches[0].tokens, tree.branches[0].weights, strict=True) if w]
    assert chats["chatml"].tokenizer.decode(supervised) == "Yes.<|im_end|>"


def test_columns_are_those_that_all_completions_carry(chats):
    (tree,) = chats["chatml"].trees(WORKED)
    assert [dict(branch.columns) for branch in tree.branches] == [
        {"rank": 0.0, "score": 1.0},
        {"rank": 1.0, "score": 0.0},
    ]
    first, second = WORKED.completions
    some = replace(WORKED, completions=(replace(first, label=True), replace(second, label=False, score=None)))
    (tree,) = chats["chatml"].trees(some)
    assert [dict(branch.columns) for branch in tree.branches] == [
        {"rank": 0.0, "label": 1.0},
        {"rank": 1.0, "label": 0.0},
    ]


def test_examples_that_have_nothing_to_train_on(chats):
    with pytest.raises(DataError, match="'worked' has no completions"):
        chats["chatml"].trees(replace(WORKED, completions=()))
    with pytest.raises(DataError, match="begins with 'user'; expected an assistant message first"):
        chats["chatml"].trees(replace(WORKED, completions=(Completion(messages=(user("?"),)),)))
    with pytest.raises(DataError, match="role 'text' stands among chat messages"):
        chats["chatml"].trees(replace(WORKED, prompt=(Message(role="text", content="x"),)))


def test_plain_text_has_a_begin_and_an_end(chats, workshop):
    text = Message(role="text", content="The opal <|eot|> glows.")
    example = Example(id="page", completions=(Completion(messages=(text,)),))
    chat = chats["headers"]
    (tree,) = chat.trees(example)
    assert tree.prompt == chat.prompt(example) == (chat.begin_token,)
    assert chat.tokenizer.decode(tree.branches[0].tokens) == "The opal <|eot|> glows.<|end_of_text|>"
    assert chat.tokenizer.convert_tokens_to_ids("<|eot|>") not in tree.branches[0].tokens
    assert set(tree.branches[0].weights) == {1.0}
    without = chats["chatml"]
    assert without.prompt(example) == (without.tokenizer.eos_token_id,)
    assert chats["inline"].trees(example)[0].branches[0].tokens[0] != chats["inline"].tokenizer.unk_token_id
    weighted = replace(example, completions=(Completion(messages=(replace(text, weight=0.0),)),))
    with pytest.raises(DataError, match="'page': completion 0 has no token"):
        chat.trees(weighted)


def test_a_prompt_of_plain_text_is_encoded_as_it_is(chats):
    text = Example(id="page", prompt=(Message(role="text", content="The opal"),))
    assert chats["chatml"].prompt(text) == tuple(chats["chatml"].tokenizer.encode("The opal"))
    assert chats["headers"].prompt(text) == tuple(chats["headers"].tokenizer.encode("The opal"))
    assert chats["headers"].prompt(text)[0] == chats["headers"].begin_token
    spans = chats["headers"].segments(text, 0)
    assert [(span.role, span.text) for span in spans] == [("template", "<|begin|>"), ("text", "The opal")]


def test_a_tokenizer_without_a_template(workshop, tmp_path):
    tokenizer = workshop.tokenizer("chatml")
    template, tokenizer.chat_template = tokenizer.chat_template, None
    chat = ChatText(tokenizer)
    assert chat.stop_tokens == (tokenizer.eos_token_id,)
    assert chat.answer([*tokenizer.encode("An opal."), tokenizer.eos_token_id, 7]) == assistant("An opal.")
    with pytest.raises(TemplateError, match=r"example 'worked': the tokenizer has no chat template.*'template'"):
        chat.prompt(WORKED)
    file = tmp_path / "chat.jinja"
    file.write_text(template, encoding="utf-8")
    given = ChatText(tokenizer, TemplateSettings(template=file))
    assert given.hash == workshop.chat("chatml").hash != chat.hash
    assert given.tokenizer.chat_template == template
    assert tokenizer.chat_template is None
    with pytest.raises(TemplateError, match=r"none\.jinja cannot be read"):
        ChatText(tokenizer, TemplateSettings(template=tmp_path / "none.jinja"))


def test_templates_without_a_clear_ending_are_refused(workshop):
    tokenizer = workshop.tokenizer("bare")
    tokenizer.chat_template = tokenizer.chat_template.replace('{{ "\n" }}', "{{ '(over)' }}")
    with pytest.raises(TemplateError, match=r"ends an assistant turn with '\(over\)', .* special token"):
        ChatText(tokenizer).trees(WORKED)
    tokenizer = workshop.tokenizer("bare")
    tokenizer.eos_token = None
    with pytest.raises(TemplateError, match="set the tokenizer's eos_token"):
        ChatText(tokenizer).trees(WORKED)


def test_a_template_that_changes_answers_is_refused(workshop):
    tokenizer = workshop.tokenizer("bare")
    tokenizer.chat_template = tokenizer.chat_template.replace("m.content", "m.content | upper")
    with pytest.raises(TemplateError, match="changes the answer"):
        ChatText(tokenizer).trees(WORKED)


def test_a_header_that_opens_thinking_can_be_sampled_from_but_not_trained_on(workshop):
    tokenizer = workshop.tokenizer("chatml")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "<|im_start|>assistant{{", "<|im_start|>assistant<think>{{"
    )
    chat = ChatText(tokenizer)
    assert tokenizer.decode(chat.prompt(WORKED)).endswith("<|im_start|>assistant<think>\n")
    assert chat.stop_tokens == (tokenizer.eos_token_id,)
    assert chat.answer([*tokenizer.encode("An opal."), tokenizer.eos_token_id]) == assistant("An opal.")
    with pytest.raises(TemplateError, match="opens an assistant turn with '<think>"):
        chat.trees(WORKED)


def test_variables_are_defaults_that_are_written_once(workshop):
    chat = workshop.chat("strips", variables={"enable_thinking": False})
    options = TemplateSettings(variables={"enable_thinking": False})
    assert ChatText(chat.tokenizer, options).hash == chat.hash
    other = ChatText(chat.tokenizer, TemplateSettings(variables={"enable_thinking": True}))
    assert other.prompt(WORKED) == workshop.chat("strips").prompt(WORKED) != chat.prompt(WORKED)


def test_the_date_stands_still_for_training_and_not_in_the_saved_template(workshop):
    tokenizer = workshop.tokenizer("chatml")
    tokenizer.chat_template = "Today: {{ strftime_now('%d %B %Y, %-d.%-m.') }}\n" + tokenizer.chat_template
    chat = ChatText(tokenizer, TemplateSettings(date="2024-07-06"))
    assert tokenizer.decode(chat.prompt(WORKED)).startswith("Today: 06 July 2024, 6.7.<|im_start|>user")
    assert chat.tokenizer.chat_template == tokenizer.chat_template
    assert chat.hash != ChatText(tokenizer).hash


def test_settings_are_checked():
    with pytest.raises(ConfigError, match=r"date .2024-13-01.: month must be in 1\.\.12"):
        load(TemplateSettings, {"date": "2024-13-01"})
    with pytest.raises(ConfigError, match="cannot be the name"):
        load(TemplateSettings, {"variables": {"a b": 1}})


def test_thinking_comes_back_from_sampled_tokens(chats):
    chat = chats["strips"]
    (tree,) = chat.trees(answered(user("?"), THOUGHT))
    assert chat.answer(tree.branches[0].tokens) == THOUGHT
    (tree,) = chat.trees(answered(user("?"), replace(THOUGHT, thinking=None)))
    assert chat.answer(tree.branches[0].tokens) == replace(THOUGHT, thinking=None)
    cut = chat.tokenizer.encode("<think>\nHm, an opal or")
    assert chat.answer(cut) == Message(role="assistant", content="", thinking="Hm, an opal or")


def test_a_lead_is_supervised_where_the_model_has_to_think_behind_it(workshop):
    tokenizer = workshop.tokenizer("chatml")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ m.content }}",
        "{% if m.role == 'assistant' %}[thoughts]{{ m.reasoning_content or '' }}[answer]{% endif %}{{ m.content }}",
    )
    chat = ChatText(tokenizer)
    (tree,) = chat.trees(answered(user("?"), THOUGHT))
    assert tokenizer.decode(tree.branches[0].tokens) == "[thoughts]Hm.[answer]Yes.<|im_end|>"
    assert set(tree.branches[0].weights) == {1.0}
    (tree,) = chat.trees(answered(user("?"), assistant("Yes.")))
    assert shown_spans(chat, answered(user("?"), assistant("Yes."))).endswith(
        "|[thoughts][answer]|[assistant:Yes.]|[assistant:<|im_end|>]"
    )


def test_a_lead_in_front_of_all_thinking_is_supervised_with_it(workshop):
    tokenizer = workshop.tokenizer("chatml")
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ m.content }}",
        "{% if m.role == 'assistant' %}[reply]{% endif %}"
        "{{ '(' ~ m.thinking ~ ')' if m.thinking else '' }}{{ m.content }}",
    )
    chat = ChatText(tokenizer)
    (tree,) = chat.trees(answered(user("?"), THOUGHT))
    assert tokenizer.decode(tree.branches[0].tokens) == "[reply](Hm.)Yes.<|im_end|>"
    assert set(tree.branches[0].weights) == {1.0}


def test_inline_thinking_is_supervised(chats):
    text = "<think>\nHm.\n</think>\n\nYes."
    (tree,) = chats["chatml"].trees(answered(user("?"), assistant(text)))
    assert chats["chatml"].tokenizer.decode(tree.branches[0].tokens) == text + "<|im_end|>"


def test_a_second_template_for_tools(workshop):
    tokenizer = workshop.tokenizer("chatml")
    tools = workshop.tokenizer("tools").chat_template
    tokenizer.chat_template = {"default": tokenizer.chat_template, "tool_use": tools}
    chat = ChatText(tokenizer)
    text = tokenizer.decode(chat.prompt(replace(answered(user("?"), assistant("!")), tools=(TOOL,))))
    assert text.startswith("<|im_start|>tools")
    assert tokenizer.decode(chat.prompt(WORKED)).startswith("<|im_start|>user")


def test_slow_tokenizers_are_refused():
    with pytest.raises(TemplateError, match="needs a fast one"):
        ChatText(object())
