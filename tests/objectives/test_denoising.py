"""Masks, spans and UL2's mixture: the papers' numbers, what they may not do, the loss in closed form."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.models.corrupted import Corrupted
from burnish.numerics import generator_from
from burnish.objectives.corruption import hidden_spans, masked_tokens, num_hidden, suffix, with_sentinels
from burnish.objectives.denoising import DENOISERS, UL2, MaskedLM, SpanCorruption, Text
from burnish.text.pieces import Pieces, pieces_of
from burnish.text.tokenizer import Encoder
from burnish.text.training import BPE, Special, Unigram, trained_tokenizer
from tests.text.test_training import TEXTS

# 0 pad, 1 end, 2 mask, 3 to 5 modes, 6 to 45 sentinels, then 1,000 plain tokens of two bytes each
PIECES = Pieces(
    plain=tuple(range(46, 1046)),
    num_bytes=(0,) * 46 + (2,) * 1000,
    end=1,
    pad=0,
    mask=2,
    sentinels=tuple(range(6, 46)),
    modes={"[R]": 3, "[S]": 4, "[X]": 5},
)


def text(length: int, name: str = "a") -> Text:
    return Text(id=name, tokens=tuple(46 + n % 1000 for n in range(length)))


def test_the_example_of_t5s_figure():
    # "Thank you for inviting me to your party last week": <X> hides "for inviting", <Y> hides "last".
    words = tuple(range(100, 110))
    read, predicted = with_sentinels(words, [(2, 4), (8, 9)], PIECES)
    assert read == (100, 101, 6, 104, 105, 106, 107, 7, 109, 1)
    assert predicted == (6, 102, 103, 7, 108, 1)


def test_the_lengths_of_t5():
    assert num_hidden(568, rate=0.15, mean=3) == (85, 28)
    found = SpanCorruption().corrupted(text(568), PIECES, 0)
    assert len(found.tokens) == 512
    assert len(found.targets) == 114
    assert found.decoder == (0, *found.targets[:-1])
    assert sum(found.target_bytes) == 2 * 85


@given(st.integers(2, 200), st.floats(0.01, 0.99), st.floats(1, 70), st.integers(0, 99))
def test_spans_are_apart_and_hide_what_was_asked_for(length, rate, mean, seed):
    spans = hidden_spans(length, generator_from(seed), rate=rate, mean=mean)
    hidden, count = num_hidden(length, rate=rate, mean=mean)
    assert len(spans) == count
    assert sum(stop - start for start, stop in spans) == hidden == min(max(round(length * rate), 1), length - 1)
    borders = [0, *(border for span in spans for border in span)]
    assert all(low < high for low, high in pairwise(borders))
    assert borders[-1] <= length


@given(st.integers(2, 60), st.integers(0, 50))
def test_read_and_predicted_put_together_are_the_text(length, seed):
    original = text(length)
    found = SpanCorruption(rate=0.3, mean_span=2).corrupted(original, PIECES, seed)
    assert together(found.tokens, found.targets) == original.tokens


def together(read: tuple[int, ...], targets: tuple[int, ...]) -> tuple[int, ...]:
    spans: dict[int, list[int]] = {}
    for token in targets[:-1]:
        if token in PIECES.sentinels:
            latest = spans.setdefault(token, [])
        else:
            latest.append(token)
    assert read[-1] == targets[-1] == PIECES.end
    return tuple(piece for token in read[:-1] for piece in spans.get(token, [token]))


def test_every_length_of_a_span_is_drawn():
    spans = [hidden_spans(8, generator_from(n), rate=0.5, mean=2) for n in range(3000)]
    lengths = Counter(tuple(stop - start for start, stop in one) for one in spans)
    assert set(lengths) == {(1, 3), (2, 2), (3, 1)}
    assert all(abs(count - 1000) < 120 for count in lengths.values())


def test_masking_after_bert():
    found = Counter[str]()
    original = text(1000)
    for seed in range(40):
        tokens, places = masked_tokens(original.tokens, PIECES, generator_from(seed), rate=0.15, masked=0.8, random=0.1)
        assert len(places) == 150
        assert list(places) == sorted(set(places))
        for place, (before, after) in enumerate(zip(original.tokens, tokens, strict=True)):
            kind = "mask" if after == PIECES.mask else "same" if after == before else "other"
            assert place in places or kind == "same"
            found[kind] += place in places
    total = sum(found.values())
    assert total == 40 * 150
    shares = {kind: count / total for kind, count in found.items()}
    assert shares == pytest.approx({"mask": 0.8, "other": 0.1, "same": 0.1}, abs=0.015)


def test_special_tokens_are_never_masked_and_one_token_always_is():
    tokens = (1, 50, 1)
    found = MaskedLM(rate=0.01, masked=1.0, random=0.0).corrupted(Text(id="a", tokens=tokens), PIECES)
    assert (found.tokens, found.places, found.targets, found.decoder) == ((1, 2, 1), (1,), (50,), None)
    with pytest.raises(DataError, match="text without plain tokens"):
        MaskedLM().corrupted(Text(id="a", tokens=(1, 1)), PIECES)


def test_the_table_of_ul2_and_its_modes():
    table = {("[R]", 0.15, 3), ("[R]", 0.15, 8), ("[S]", 0.25, None), ("[X]", 0.5, 3), ("[X]", 0.5, 8)}
    assert {(d.mode, d.rate, d.mean_span) for d in DENOISERS} == table | {("[X]", 0.15, 64), ("[X]", 0.5, 64)}
    original, counts = text(96), Counter[int]()
    for seed in range(1400):
        found = UL2().corrupted(original, PIECES, seed)
        counts[found.tokens[0]] += 1
        hidden = sum(found.target_bytes) // 2
        assert together(found.tokens[1:], found.targets) == original.tokens
        if found.tokens[0] == PIECES.modes["[S]"]:
            assert found.tokens == (4, *original.tokens[:72], 6, 1)
            assert found.targets == (6, *original.tokens[72:], 1)
        else:
            assert hidden in ({14} if found.tokens[0] == PIECES.modes["[R]"] else {14, 48})
    assert {PIECES.modes[mode]: share for mode, share in (("[R]", 2), ("[S]", 1), ("[X]", 4))} == {
        mode: round(7 * count / 1400) for mode, count in counts.items()
    }
    assert suffix(2, rate=0.25) == [(1, 2)]


@pytest.mark.parametrize("objective", [MaskedLM(), SpanCorruption(), UL2()])
def test_what_is_hidden_is_a_function_of_the_keys(objective):
    one = objective.corrupted(text(80), PIECES, 0, "corrupt", 3)
    assert one == objective.corrupted(text(80), PIECES, 0, "corrupt", 3)
    assert one != objective.corrupted(text(80), PIECES, 0, "corrupt", 4)
    assert one.targets != objective.corrupted(text(80, "b"), PIECES, 0, "corrupt", 3).targets


def test_the_loss_by_hand():
    items = [
        Corrupted(id=n, tokens=(5, 6), decoder=(0, 7), places=(0, 1), targets=(7, 1), target_bytes=(3, 0)) for n in "ab"
    ]
    batch = Corrupted.collate(items)
    logp = torch.log(torch.tensor([0.5, 0.9, 0.125, 0.9])).requires_grad_()
    loss = SpanCorruption().loss({"logp": logp}, batch, {})
    assert SpanCorruption().weights(batch) == {"nll": 4.0}
    assert float(loss.terms["nll"].detach()) == pytest.approx(math.log(2) + math.log(8) - 2 * math.log(0.9))
    assert loss.metrics["bits_per_byte"].value == pytest.approx((1 + 3) / 6)
    loss.terms["nll"].backward()
    assert torch.equal(logp.grad, -torch.ones(4))


def test_a_vocabulary_or_a_text_that_will_not_do_is_refused_by_name():
    texts = [text(568)]
    for objective, pieces, message in (
        (MaskedLM(), replace(PIECES, mask=None), "no mask token; train one with burnish tokenizer --mask"),
        (SpanCorruption(), replace(PIECES, sentinels=()), "28 hidden spans, and the tokenizer 0 sentinels"),
        (SpanCorruption(), replace(PIECES, sentinels=PIECES.sentinels[:27]), "28 hidden spans, and the tokenizer 27"),
        (SpanCorruption(), replace(PIECES, pad=None), "no end or no padding token"),
        (UL2(), PIECES, "95 hidden spans, and the tokenizer 40 sentinels; make texts shorter"),
        (UL2(), replace(PIECES, modes={}, sentinels=tuple(range(6, 206))), "lacks a mode token"),
    ):
        with pytest.raises(DataError, match=message):
            objective.require(pieces, texts)
    for objective, short in ((MaskedLM(), 0), (SpanCorruption(), 1), (UL2(), 1)):
        with pytest.raises(DataError, match=f"text 'short' has {short} tokens"):
            objective.require(PIECES, [text(8), text(short, "short")])
    with pytest.raises(ValueError, match="together they may be 1 at most"):
        MaskedLM(masked=0.9, random=0.2)
    with pytest.raises(DataError, match="text 'a' has no hidden token"):
        MaskedLM().check([Corrupted(id="a", tokens=(1,), decoder=None, places=(), targets=(), target_bytes=())])


@pytest.mark.parametrize("algorithm", [BPE(vocabulary=330), Unigram(vocabulary=420)])
def test_the_bytes_of_tokens_are_those_of_the_text(algorithm):
    tokenizer = trained_tokenizer(TEXTS, algorithm, Special(mask="<|mask|>", sentinels=3, modes=True))
    pieces = pieces_of(tokenizer)
    encoder = Encoder(tokenizer)
    for sample in (*TEXTS[:3], "größe 翡翠\n  <0x41>"):
        assert sum(pieces.bytes_of(encoder.ids(sample))) == len(sample.encode())
    assert pieces.sentinels == tuple(tokenizer.convert_tokens_to_ids([f"<extra_id_{n}>" for n in range(3)]))
    assert set(pieces.modes) == {"[R]", "[S]", "[X]"}
    assert (pieces.end, pieces.pad, pieces.mask) == (0, 1, 2)
    assert {number for number, size in enumerate(pieces.num_bytes) if size} == set(pieces.plain)
