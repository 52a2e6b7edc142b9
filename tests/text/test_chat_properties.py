"""What holds for every conversation, whatever is said in it."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.example import Completion, Example, Message, assistant, user

FAMILIES = ("chatml", "tools", "strips", "headers", "model", "closed")  # byte-level: text comes back exactly
SPECIALS = (
    *("<|im_start|>", "<|im_end|>", "<|im_start|>assistant\n", "<|eot|>", "<|head|>", "<|begin|>", "<bos>"),
    *("</turn>\n<turn>model\n", "<eos>", "<|end|>", "<|endoftext|>", "<|im_<|im_end|>end|>", "\U0010f000"),
)
FAST = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

# Texts begin and end with a letter or a special token, because some templates trim white space away.
words = st.one_of(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12), st.sampled_from(SPECIALS)
)
edges = st.sampled_from([*"aZ9.é", *SPECIALS])
texts = st.builds(
    lambda start, inner, stop: start + "".join(inner) + stop, edges, st.lists(words, max_size=4), edges
).map(str.strip)


@st.composite
def conversations(draw):
    """Questions and answers in turn, cut into prompt and completion at any answer."""
    turns = draw(st.integers(1, 3))
    messages: list[Message] = []
    for _ in range(turns):
        messages += [user(draw(texts)), assistant(draw(texts))]
    cut = 2 * draw(st.integers(0, turns - 1)) + 1
    completion = Completion(messages=tuple(messages[cut:]))
    return Example(id="drawn", prompt=tuple(messages[:cut]), completions=(completion,))


def said(example):
    return (*example.prompt, *example.completions[0].messages)


def end_of(chat):
    return chat.tokenizer.convert_ids_to_tokens(chat.stop_tokens[0])


@pytest.mark.parametrize("family", FAMILIES)
@FAST
@given(example=conversations())
def test_paths_decode_to_the_templates_own_rendering(chats, family, example):
    chat = chats[family]
    messages = said(example)
    for number, tree in enumerate(reversed(chat.trees(example))):
        rows = [{"role": m.role, "content": m.content} for m in messages[: len(messages) - 2 * number]]
        rendered = chat.tokenizer.apply_chat_template(rows, tokenize=False)
        path = chat.tokenizer.decode([*tree.prompt, *tree.branches[0].tokens], clean_up_tokenization_spaces=False)
        assert rendered.startswith(path)
        assert path.endswith(rows[-1]["content"] + end_of(chat))


@pytest.mark.parametrize("family", FAMILIES)
@FAST
@given(example=conversations())
def test_supervised_tokens_are_the_answers_and_their_ends(chats, family, example):
    chat = chats[family]
    tokens = []
    for tree in chat.trees(example):
        (branch,) = tree.branches
        tokens += [token for token, weight in zip(branch.tokens, branch.weights, strict=True) if weight > 0]
    answers = [m.content + end_of(chat) for m in example.completions[0].messages if m.role == "assistant"]
    assert chat.tokenizer.decode(tokens, clean_up_tokenization_spaces=False) == "".join(answers)
    assert sum(token == chat.stop_tokens[0] for token in tokens) == len(answers)


@pytest.mark.parametrize("family", FAMILIES)
@FAST
@given(example=conversations())
def test_special_tokens_spelt_in_messages_become_ordinary_tokens(chats, family, example):
    """Each path has the special tokens of a conversation in which nothing but letters is said."""
    chat = chats[family]
    specials = set(chat.tokenizer.all_special_ids) | {
        i for i, token in chat.tokenizer.added_tokens_decoder.items() if token.special
    }
    harmless = [replace(message, content="a") for message in said(example)]
    cut = len(example.prompt)
    clean = Example(id="a", prompt=tuple(harmless[:cut]), completions=(Completion(messages=tuple(harmless[cut:])),))
    for tree, other in zip(chat.trees(example), chat.trees(clean), strict=True):
        found = [t for t in (*tree.prompt, *tree.branches[0].tokens) if t in specials]
        assert found == [t for t in (*other.prompt, *other.branches[0].tokens) if t in specials]


@pytest.mark.parametrize("family", [*FAMILIES, "inline", "bare"])
@FAST
@given(example=conversations())
def test_cutting_a_conversation_elsewhere_gives_the_same_tokens(chats, family, example):
    chat = chats[family]
    messages = said(example)
    last = Example(id="last", prompt=messages[:-1], completions=(Completion(messages=messages[-1:]),))
    tree, other = chat.trees(example)[-1], chat.trees(last)[-1]
    assert [*tree.prompt, *tree.branches[0].tokens] == [*other.prompt, *other.branches[0].tokens]
    assert other.prompt == chat.prompt(Example(id="prompt", prompt=messages[:-1]))


@pytest.mark.parametrize("family", [*FAMILIES, "inline", "bare"])
@FAST
@given(example=conversations())
def test_segments_are_the_tokens_of_the_trees(chats, family, example):
    chat = chats[family]
    spans = chat.segments(example, 0)
    trees = chat.trees(example)
    tokens = [token for tree in trees for token in (*tree.prompt, *tree.branches[0].tokens)]
    weights = [w for tree in trees for w in (*[0.0] * len(tree.prompt), *tree.branches[0].weights)]
    assert [token for span in spans for token in span.tokens] == tokens
    assert [span.weight for span in spans for _ in span.tokens] == weights
    assert all(span.role == "assistant" for span in spans if span.supervised)


@pytest.mark.parametrize("family", FAMILIES)
@FAST
@given(example=conversations())
def test_what_the_user_says_is_shown_as_the_users_and_never_supervised(chats, family, example):
    chat = chats[family]
    messages = said(example)
    question = next(m.content for m in messages if m.role == "user")
    own = [span for span in chat.segments(replace(example, prompt=(user(question),)), 0) if span.role == "user"]
    assert all(span.weight == 0 for span in own)
    assert own[0].text in question or own[0].text.strip() == question  # a token may hold a character of both sides


@pytest.mark.parametrize("family", [*FAMILIES, "bare"])
@FAST
@given(example=conversations())
def test_answers_come_back_from_their_tokens(chats, family, example):
    chat = chats[family]
    last = said(example)[-2:]
    (tree,) = chat.trees(Example(id="last", prompt=last[:1], completions=(Completion(messages=last[1:]),)))
    stop = len(tree.branches[0].tokens) - 1
    assert chat.answer(tree.branches[0].tokens).content == last[1].content
    assert chat.answer((*tree.branches[0].tokens[:stop], *chat.stop_tokens, 0, 1)).content == last[1].content
