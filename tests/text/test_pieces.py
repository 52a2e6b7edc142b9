"""The bytes that tokens spell: exact wherever a text is cut, for byte-level and SentencePiece tokenizers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from burnish.example import Completion, Example, Message
from burnish.text.pieces import byte_counter
from burnish.text.template import ChatText
from burnish.text.training import BPE, Special, Unigram, trained_tokenizer
from tests.text.conftest import prefix_tokenizer

TEXTS = ["The größte opal is 💎 here, and the 翡翠 ring was there.\n    if ring:\n        return 1\n"] * 9
LEARNED = {"bpe": BPE(vocabulary=280), "unigram": Unigram(vocabulary=400)}


@pytest.fixture(scope="module", params=[*LEARNED, "first", "always"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    if request.param not in LEARNED:
        spaced = prefix_tokenizer(None, bos="<s>", eos="</s>")
        spaced.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=request.param, split=False)
        return spaced
    return trained_tokenizer(TEXTS, LEARNED[request.param], Special(begin="<s>"))


def tokens_of(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Prompt and completion of a plain text, as pretraining has them."""
    message = Message(role="text", content=text)
    (tree,) = ChatText(tokenizer).trees(Example(id="x", prompt=(), completions=(Completion(messages=(message,)),)))
    return tuple(tree.prompt), tuple(tree.branches[0].tokens)


@settings(deadline=None, max_examples=60)
@given(text=st.text(st.sampled_from("opal ring größe翡💎\n"), min_size=1).filter(lambda t: t[0] != " "), data=st.data())
def test_the_bytes_of_all_stretches_add_up_to_those_of_the_text(tokenizer, text, data):
    prompt, tokens = tokens_of(tokenizer, text)
    cut = data.draw(st.integers(0, len(tokens)))
    count = byte_counter(tokenizer)
    behind = tokens[cut - 1 : cut] or prompt
    assert count(prompt, tokens[:cut]) + (count(behind, tokens[cut:]) if cut else count(prompt, tokens)) == len(
        text.encode()
    )


def test_a_character_of_four_bytes_that_is_cut_counts_its_own_bytes():
    learned = trained_tokenizer(["opal"] * 9, BPE(vocabulary=259), Special())
    prompt, tokens = tokens_of(learned, "💎")
    count = byte_counter(learned)
    assert len(tokens) == 5  # four bytes and the end
    assert [count(prompt, tokens[:2]), count(tokens[1:2], tokens[2:])] == [2, 2]
    assert len(learned.decode(tokens[:2]).encode()) == 3  # what decoding would have said


def test_a_token_that_was_added_has_the_bytes_of_its_spelling():
    learned = trained_tokenizer(["opal"] * 9, BPE(vocabulary=259), Special())
    learned.add_tokens(["größe"])
    assert byte_counter(learned)((learned.eos_token_id,), learned.convert_tokens_to_ids(["größe"])) == 7


def test_a_vocabulary_of_unknown_spelling_is_decoded():
    words = {"opal": 0, "ring": 1, "<s>": 2}
    backend = Tokenizer(models.WordLevel(words, unk_token="<s>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    spaced = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<s>")
    assert byte_counter(spaced)((2,), (0, 1)) == len("opal ring")
