"""Training tokenizers: the first merges and pieces by hand, special tokens, texts that come back, the same bytes."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from burnish.errors import DataError
from burnish.text.compression import compression
from burnish.text.tokenizer import PADDING, Encoder
from burnish.text.training import BPE, MODES, Special, Unigram, trained_tokenizer
from burnish.text.unigram import learned_pieces

TEXTS = [
    f"The {colour} {thing} is {size}, and the {thing} was {size} in {year}.\n    if {thing}:\n        return {colour}\n"
    for colour in ("red", "green", "violet", "größer")
    for thing in ("opal", "ruby", "garnet", "marble")
    for size, year in (("small", 1987), ("largest", 2024), ("larger", 2019))
]
SPECIAL = Special(begin="<s>", mask="<|mask|>", sentinels=3, modes=True, more=("<|im_end|>",))
ALGORITHMS = {"bpe": BPE(vocabulary=330), "unigram": Unigram(vocabulary=420)}
MADE = """
from tests.text.test_training import ALGORITHMS, SPECIAL, TEXTS, digest
from burnish.text.training import trained_tokenizer
for kind, algorithm in ALGORITHMS.items():
    print(kind, digest(trained_tokenizer(TEXTS, algorithm, SPECIAL)))
"""


def digest(tokenizer: PreTrainedTokenizerFast) -> str:
    return hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()


def ids_of(tokenizer: PreTrainedTokenizerFast | Encoder, text: str) -> tuple[int, ...]:
    encoder = tokenizer if isinstance(tokenizer, Encoder) else Encoder(tokenizer)
    mark = encoder.mark_for([text])
    return encoder.ids(encoder.marked(text, mark), mark=mark)


@pytest.fixture(scope="module", params=list(ALGORITHMS))
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def tokenizer(kind) -> PreTrainedTokenizerFast:
    return trained_tokenizer(TEXTS, ALGORITHMS[kind], SPECIAL)


def test_the_first_merges_are_the_most_frequent_pairs():
    special = Special()
    texts = ["low low low low low lower lower newest newest newest newest newest newest widest widest widest"]
    found = trained_tokenizer(texts, BPE(vocabulary=2 + 256 + 4, min_frequency=1), special)
    learned = sorted(found.get_vocab(), key=found.get_vocab().get)[2 + 256 :]
    # In the example of Sennrich et al. 2016 "es", "est" (9 times each) and "lo", "low" (7 times) come first.
    assert set(learned) == {"es", "est", "lo", "low"}
    assert learned[:2] == ["es", "est"]


def test_the_pieces_of_a_unigram_model_by_hand():
    words = {"abc": 6, "ab": 2, "d": 1}
    found = dict(learned_pieces(words, size=6, longest=3, always="abcd"))
    # "abc" is a piece of its own six times, "ab" twice, "d" once; a, b and c alone never, and count half a time.
    total = 6 + 2 + 1 + 3 * 0.5
    expected = {"abc": 6, "ab": 2, "d": 1, "a": 0.5, "b": 0.5, "c": 0.5}
    assert found == pytest.approx({piece: math.log(count / total) for piece, count in expected.items()})


def test_pruning_drops_the_piece_that_costs_least():
    words = {"xyz": 100, "xy": 1, "pq": 50}
    chars = "xyzpq"
    kept = {piece for piece, _ in learned_pieces(words, size=7, longest=3, always=chars)}
    assert kept == {*chars, "xyz", "pq"}
    assert {piece for piece, _ in learned_pieces(words, size=5, longest=3, always=chars)} == set(chars)


def test_rare_characters_have_no_piece_and_are_spelt_by_bytes():
    found = dict(learned_pieces({"a": 9999, "b": 1}, size=9, longest=2, always=""))
    assert set(found) == {"a"}
    tokenizer = trained_tokenizer(TEXTS, ALGORITHMS["unigram"], SPECIAL)
    tokens = tokenizer.convert_ids_to_tokens(ids_of(tokenizer, "翡"))
    assert tokens == ["<0xE7>", "<0xBF>", "<0xA1>"]
    assert "<0x41>" not in tokenizer.convert_ids_to_tokens(ids_of(tokenizer, "<0x41>"))


def test_special_tokens_stand_first_by_role_and_no_text_becomes_one(tokenizer):
    names = ["<s>", "<|endoftext|>", PADDING, "<|mask|>", "<|im_end|>", *MODES, *(f"<extra_id_{n}>" for n in range(3))]
    assert tokenizer.convert_ids_to_tokens(list(range(len(names)))) == names
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.mask_token) == tuple(names[:4])
    assert set(tokenizer.all_special_tokens) == set(names)
    assert len(tokenizer) == max(tokenizer.get_vocab().values()) + 1
    assert min(ids_of(tokenizer, " ".join(names))) >= len(names)
    assert tokenizer.decode([0, *ids_of(tokenizer, "the opal"), 1], skip_special_tokens=True) == "the opal"


@pytest.fixture(scope="module")
def encoder(tokenizer) -> Encoder:
    return Encoder(tokenizer)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=30))
def test_every_text_comes_back(encoder, text):
    assert encoder.decode(ids_of(encoder, text)) == text


def test_a_saved_tokenizer_is_the_same_one(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert Encoder(again).digest == Encoder(tokenizer).digest
    assert set(again.all_special_tokens) == set(tokenizer.all_special_tokens)


@pytest.fixture(scope="module")
def elsewhere() -> dict[str, str]:
    """The digests of what another process makes, by kind."""
    done = subprocess.run([sys.executable, "-c", MADE], capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def test_another_process_makes_the_same_tokenizer(kind, tokenizer, elsewhere):
    assert elsewhere[kind] == digest(tokenizer)


def test_words_and_indentations_become_tokens_and_digits_where_asked(kind, tokenizer):
    tokens = tokenizer.convert_ids_to_tokens(ids_of(tokenizer, "    if garnet:\n        return"))
    assert len(tokens) <= 10 < len("    if garnet:") - 2
    assert any(set(token) <= {"Ġ", "\u2581"} and len(token) > 1 for token in tokens)
    assert all(set(token) <= {"\n"} for token in tokens if "\n" in token)
    algorithm = type(ALGORITHMS[kind])(vocabulary=ALGORITHMS[kind].vocabulary, digits=True)
    single = trained_tokenizer(TEXTS, algorithm, SPECIAL)
    assert len(ids_of(single, "2024")) == 4 > len(ids_of(tokenizer, "2024"))


def test_the_vocabulary_has_exactly_the_size_asked_for_or_the_run_is_refused(kind):
    algorithm = type(ALGORITHMS[kind])
    assert len(trained_tokenizer(TEXTS, ALGORITHMS[kind], Special())) == ALGORITHMS[kind].vocabulary
    with pytest.raises(DataError, match=r"2 special tokens and 256 bytes take 258; set it to 259 or more"):
        trained_tokenizer(TEXTS, algorithm(vocabulary=258), Special())
    with pytest.raises(DataError, match=r"the texts give \d+ tokens, and algorithm.vocabulary is 50000"):
        trained_tokenizer(TEXTS, algorithm(vocabulary=50000), Special())
    if kind == "unigram":
        with pytest.raises(DataError, match="characters of the texts take"):
            trained_tokenizer(TEXTS, algorithm(vocabulary=300), Special())


def test_special_tokens_must_differ():
    with pytest.raises(ValueError, match=r"found twice: \[R\]"):
        Special(modes=True, more=("[R]",))


def test_compression_by_hand():
    tokenizer = trained_tokenizer(TEXTS, BPE(vocabulary=259), Special())  # bytes, and one merge
    merged = max(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    found = compression(tokenizer, ["größe 12", "a b c\n"])
    merges = sum(text.count(merged.replace("Ġ", " ")) for text in ("größe 12", "a b c\n"))
    assert (found.texts, found.bytes, found.words, found.tokens) == (2, 10 + 6, 5, 16 - merges)
    assert found.bytes_per_token == found.bytes / found.tokens
    assert found.tokens_per_word == found.tokens / 5
    assert (found.returned, found.vocabulary) == (1.0, 259)
    with pytest.raises(DataError, match="no word in the 1 texts"):
        compression(tokenizer, ["  "])


def test_a_tokenizer_that_changes_texts_is_told():
    tokenizer = trained_tokenizer(TEXTS, ALGORITHMS["unigram"], Special())
    assert compression(tokenizer, ["a \u2581", "b"]).returned == 0.5
