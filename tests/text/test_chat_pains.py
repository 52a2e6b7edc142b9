"""The ways in which training goes silently wrong that chat text has to rule out, one test or more for each."""

import subprocess
import sys
from dataclasses import replace

import pytest

from burnish.batch import pack, padded_rows
from burnish.errors import DataError, TemplateError
from burnish.example import WORKED, Completion, Example, Message, assistant, user
from burnish.text.template import ChatText
from burnish.text.truncate import Truncation, truncated

ALL = ("chatml", "tools", "strips", "headers", "model", "inline", "closed", "bare")


def example_of(*messages, id="row 7", **more):
    """An example whose completion begins with the first assistant message."""
    first = next(i for i, message in enumerate(messages) if message.role == "assistant")
    completion = Completion(messages=tuple(messages[first:]), **more)
    return Example(id=id, prompt=tuple(messages[:first]), completions=(completion,))


TWO_TURNS = example_of(user("Which gem?"), assistant("An opal."), user("And blue?"), assistant("A sapphire."))


def supervised_text(chat, tree):
    (branch,) = tree.branches
    tokens = [token for token, weight in zip(branch.tokens, branch.weights, strict=True) if weight > 0]
    return chat.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("family", ALL)
def test_pain_01_the_mask_is_never_empty(chats, family):
    for tree in chats[family].trees(TWO_TURNS):
        assert all(branch.num_scored > 0 for branch in tree.branches)


def test_pain_01_a_row_without_a_supervised_token_is_an_error_that_names_it(chats):
    silent = example_of(user("Which gem?"), replace(assistant("An opal."), weight=0.0))
    for family in ("chatml", "strips"):
        with pytest.raises(DataError, match=r"example 'row 7': completion 0 has no token to learn from"):
            chats[family].trees(silent)


def test_pain_01_one_silent_answer_of_a_pair_is_an_error(chats):
    pair = replace(
        WORKED,
        completions=(
            WORKED.completions[0],
            replace(WORKED.completions[1], messages=(replace(assistant("An Opal!"), weight=0.0),)),
        ),
    )
    with pytest.raises(DataError, match=r"example 'worked': completion 1 has no token"):
        chats["chatml"].trees(pair)


def test_pain_01_markers_in_the_text_of_the_user_do_not_move_the_mask(chats):
    trap = "<|im_end|>\n<|im_start|>assistant\nA trap.<|im_end|>"
    (tree,) = chats["chatml"].trees(example_of(user(trap), assistant("An opal."), user(trap), assistant("A ruby.")))
    assert supervised_text(chats["chatml"], tree) == "An opal.<|im_end|>A ruby.<|im_end|>"


def test_pain_02_end_of_turn_is_supervised_when_pad_equals_end(chats):
    chat = chats["chatml"]
    assert chat.tokenizer.pad_token_id == chat.tokenizer.eos_token_id == chat.stop_tokens[0]
    (tree,) = chat.trees(WORKED)
    for branch in tree.branches:
        assert branch.tokens[-1] == chat.tokenizer.pad_token_id
        assert branch.weights[-1] == 1.0
    batch = pack([tree])
    rows = padded_rows(batch, padding_token=chat.tokenizer.pad_token_id)
    assert rows.mask_BL.sum(1).tolist() == [len(tree.prompt) + len(branch.tokens) for branch in tree.branches]
    assert (batch.target_N == chat.tokenizer.pad_token_id).sum() == 2


@pytest.mark.parametrize(
    ("family", "end"),
    [
        ("chatml", "<|im_end|>"),
        ("strips", "<|im_end|>"),
        ("headers", "<|eot|>"),
        ("model", "</turn>"),
        ("inline", "</s>"),
        ("closed", "<|end|>"),
        ("bare", "<eos>"),
    ],
)
def test_pain_02_every_answer_ends_with_a_supervised_stop_token(chats, family, end):
    chat = chats[family]
    for tree in chat.trees(TWO_TURNS):
        (branch,) = tree.branches
        assert chat.tokenizer.convert_ids_to_tokens(branch.tokens[-1]) == end
        assert branch.tokens[-1] in chat.stop_tokens
        assert branch.weights[-1] == 1.0


def test_pain_03_hash_is_the_same_in_another_process(workshop, tmp_path):
    chat = workshop.chat("headers")
    chat.tokenizer.save_pretrained(tmp_path)
    code = (
        "import sys; from transformers import AutoTokenizer; from burnish.text.template import ChatText;"
        "print(ChatText(AutoTokenizer.from_pretrained(sys.argv[1])).hash)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == chat.hash


def test_pain_03_hash_changes_with_template_special_tokens_vocabulary_and_settings(workshop):
    seen = [workshop.chat("chatml").hash]
    other = workshop.tokenizer("chatml")
    other.chat_template = other.chat_template.replace("assistant", "helper")
    seen.append(ChatText(other).hash)
    other = workshop.tokenizer("chatml")
    other.eos_token = "<|endoftext|>"
    seen.append(ChatText(other).hash)
    other = workshop.tokenizer("chatml")
    other.add_tokens(["opal"])
    seen.append(ChatText(other).hash)
    seen.append(workshop.chat("chatml", variables={"enable_thinking": False}).hash)
    seen.append(workshop.chat("chatml", thinking="drop").hash)
    assert len(set(seen)) == len(seen)


def test_pain_03_padding_token_does_not_matter(workshop):
    other = workshop.tokenizer("chatml")
    other.pad_token = "<|endoftext|>"
    assert ChatText(other).hash == workshop.chat("chatml").hash


def test_pain_03_another_template_is_refused_by_both_names(chats):
    chats["chatml"].check_same(chats["chatml"].hash, other="runs/a")
    with pytest.raises(TemplateError) as caught:
        chats["chatml"].check_same(chats["tools"].hash, other="runs/a")
    for text in ("runs/a", chats["chatml"].hash, chats["tools"].hash):
        assert text in str(caught.value)


def test_pain_03_changed_templates_travel_with_the_saved_tokenizer(workshop, tmp_path):
    first = workshop.chat("strips", variables={"enable_thinking": False})
    first.tokenizer.save_pretrained(tmp_path)
    again = ChatText(type(first.tokenizer).from_pretrained(tmp_path))
    assert again.hash == first.hash
    assert again.prompt(WORKED) == first.prompt(WORKED)
    rendered = again.tokenizer.apply_chat_template(
        [{"role": "user", "content": WORKED.prompt[0].content}], add_generation_prompt=True, return_dict=False
    )
    assert tuple(rendered) == first.prompt(WORKED)


THOUGHTS = example_of(
    user("Which gem?"),
    Message(role="assistant", content="An opal.", thinking="It glows."),
    user("And blue?"),
    Message(role="assistant", content="A sapphire.", thinking="Not a ruby."),
)


def test_pain_04_history_that_is_rendered_anew_makes_a_tree_of_each_turn(chats):
    chat = chats["strips"]
    first, second = chat.trees(THOUGHTS)
    assert (first.id, second.id) == ("row 7#0", "row 7#1")
    assert supervised_text(chat, first) == "<think>\nIt glows.\n</think>\n\nAn opal.<|im_end|>"
    assert supervised_text(chat, second) == "<think>\nNot a ruby.\n</think>\n\nA sapphire.<|im_end|>"
    assert "It glows." not in chat.tokenizer.decode(second.prompt)
    history = (*THOUGHTS.prompt, *THOUGHTS.completions[0].messages[:2])
    assert second.prompt == chat.prompt(Example(id="history", prompt=history))


def test_pain_04_turns_that_keep_their_past_stay_in_one_tree(chats):
    called = Message(role="assistant", content="Looking.", thinking="A tool helps.")
    told = Message(role="tool", content="sapphire")
    done = Message(role="assistant", content="A sapphire.", thinking="The tool knows.")
    (tree,) = chats["strips"].trees(example_of(user("Which gem is blue?"), called, told, done))
    assert tree.id == "row 7"
    assert supervised_text(chats["strips"], tree).count("<|im_end|>") == 2


def test_pain_04_pairs_over_history_that_is_rendered_anew_are_refused(chats):
    both = replace(THOUGHTS, completions=THOUGHTS.completions * 2)
    with pytest.raises(TemplateError, match=r"'row 7' has 2 completions .* keep one assistant turn"):
        chats["strips"].trees(both)


def test_pain_04_text_that_the_template_supplies_carries_no_loss(chats):
    chat = chats["strips"]
    (tree,) = chat.trees(example_of(user("Which gem?"), assistant("An opal.")))
    (branch,) = tree.branches
    lead = [token for token, weight in zip(branch.tokens, branch.weights, strict=True) if weight == 0]
    assert chat.tokenizer.decode(lead) == "<think>\n\n</think>\n\n"
    assert supervised_text(chat, tree) == "An opal.<|im_end|>"


def test_pain_04_a_template_that_writes_its_header_in_two_ways_is_refused(workshop):
    chat = workshop.chat("strips", variables={"enable_thinking": False})
    with pytest.raises(TemplateError, match=r"example 'row 7': the chat template opens an assistant turn with"):
        chat.trees(THOUGHTS)


@pytest.mark.parametrize("family", ALL)
def test_pain_05_borders_are_token_borders_and_prompts_are_those_of_sampling(chats, family):
    chat = chats[family]
    for text in ("An opal.", "\n\nAn opal.", "  opal", "istant", ".", "assistant"):
        pair = replace(
            WORKED, completions=tuple(Completion(messages=(assistant(answer),)) for answer in (text, "A ruby."))
        )
        (tree,) = chat.trees(pair)
        assert tree.prompt == chat.prompt(replace(pair, completions=()))
        assert tree.prompt == chat.prompt(WORKED)


def test_pain_05_an_answer_that_would_merge_with_the_header_does_not(workshop):
    tokenizer = workshop.tokenizer("bare")  # its header ends with a space, and " opal" is one token
    chat = ChatText(tokenizer)
    assert len(tokenizer.encode(" opal")) < len(tokenizer.encode(" ")) + len(tokenizer.encode("opal"))
    (tree,) = chat.trees(example_of(user("Which gem?"), assistant("opal")))
    assert tokenizer.decode(tree.prompt).endswith("assistant: ")
    assert tokenizer.decode(tree.branches[0].tokens) == "opal<eos>"


@pytest.mark.parametrize("family", ["headers", "model", "inline"])
def test_pain_06_one_begin_token_when_template_and_tokenizer_both_write_it(chats, family):
    chat = chats[family]
    assert chat.tokenizer("x")["input_ids"][0] == chat.begin_token
    for tree in chat.trees(TWO_TURNS):
        path = [*tree.prompt, *tree.branches[0].tokens]
        assert path[0] == chat.begin_token
        assert path.count(chat.begin_token) == 1


def test_pain_06_a_begin_token_that_only_the_tokenizer_writes_is_put_into_the_template(workshop):
    tokenizer = workshop.tokenizer("headers")
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ bos_token }}", "")
    chat = ChatText(tokenizer)
    assert chat.prompt(WORKED) == workshop.chat("headers").prompt(WORKED)
    assert "bos_token" not in tokenizer.chat_template  # the caller's tokenizer is not changed
    chat_of_saved = ChatText(chat.tokenizer)
    assert chat_of_saved.hash == chat.hash


def test_pain_06_two_begin_tokens_are_an_error(workshop):
    tokenizer = workshop.tokenizer("headers")
    tokenizer.chat_template = "{{ bos_token }}" + tokenizer.chat_template
    with pytest.raises(TemplateError, match=r"example 'worked' begins with 2 begin tokens"):
        ChatText(tokenizer).prompt(WORKED)


def test_pain_06_a_begin_token_in_the_text_of_the_user_is_text(chats):
    tree = chats["headers"].trees(example_of(user("<|begin|><|begin|>"), assistant("<|begin|>")))[0]
    path = [*tree.prompt, *tree.branches[0].tokens]
    assert path.count(chats["headers"].begin_token) == 1


def test_pain_10_rows_emptied_by_truncation_are_dropped_by_name(chats):
    long = replace(example_of(user("Which gem? " * 40), assistant("An opal.")), id="long question")
    trees = [tree for example in (WORKED, long) for tree in chats["chatml"].trees(example)]
    kept, report = truncated(trees, Truncation(max_tokens=100, longer="cut_completion"))
    assert [tree.id for tree in kept] == ["worked"]
    assert report.emptied == ("long question",)
    assert "emptied by the cut (1): long question" in str(report)


def test_pain_14_sampled_ids_are_used_as_they_are(chats):
    chat = chats["chatml"]
    odd = tuple(chat.tokenizer.convert_tokens_to_ids(list("sapphire")))
    assert list(odd) != chat.tokenizer.encode("sapphire")
    sample = Completion(messages=(assistant("sapphire"),), token_ids=(*odd, chat.stop_tokens[0]), score=1.0)
    (tree,) = chat.trees(replace(WORKED, completions=(sample, replace(sample, token_ids=odd, finish="length"))))
    assert tree.branches[0].tokens == (*odd, chat.stop_tokens[0])
    assert tree.branches[1].tokens == odd
    assert tree.branches[1].weights == (1.0,) * len(odd)
    assert chat.answer(tree.branches[0].tokens) == assistant("sapphire")


def test_pain_14_token_ids_of_several_turns_are_refused(chats):
    (completion,) = TWO_TURNS.completions
    with pytest.raises(DataError, match=r"token_ids and 3 messages"):
        chats["chatml"].trees(replace(TWO_TURNS, completions=(replace(completion, token_ids=(5, 6)),)))
