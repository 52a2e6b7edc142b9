"""Learn the pieces of a unigram model (Kudo 2018), the same ones from the same texts in every process.

    seeds       the substrings of words that cover most characters, and every common character
    count       segment each word by its likeliest pieces; p(piece) = how often it stands / how often any does
    prune       drop the quarter of the pieces whose loss would cost the likelihood least; characters stay
    ... and again, until the vocabulary has the size asked for

A piece's loss is its count times how much likelier it is than the best other segmentation of its own text.

SentencePiece counts over all segmentations, each by its probability. Sums of such numbers over threads depend on their
order, and a tie that falls otherwise gives other pieces: the trainer of the tokenizers library gives another
vocabulary in every process. Here counts are taken on the likeliest segmentation alone, so they are whole numbers, and
what is equal is told apart by its spelling.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

from tokenizers import models

COVERAGE = 0.9995
"""Share of the characters of a text that have pieces of their own; rarer ones are spelt by bytes."""

_SEEDS = 4
"""Pieces to begin with, as a multiple of those asked for."""

_KEPT = 0.75
_PASSES = 2
_UNKNOWN = "\ue000"

Scores = dict[str, float]


def learned_pieces(
    words: Mapping[str, int], *, size: int, longest: int, always: Collection[str]
) -> list[tuple[str, float]]:
    """Pieces with their log-probabilities, likeliest first.

    They are fewer than asked for where the words do not give as many, and more where the characters alone are.

    Args:
        words: how often each stands in the texts.
        size: pieces to learn.
        longest: characters of a piece at most.
        always: characters that have a piece whether they occur or not.
    """
    characters = _covered(words, always)
    counts = _seeds(words, characters, limit=max(_SEEDS * size, size + 1000), longest=longest)
    while True:
        for _ in range(_PASSES):
            counts = _counted(words, _scores(counts), characters, keep=size)
        if len(counts) <= max(size, len(characters)):
            break
        kept = max(size, int(_KEPT * len(counts)))
        counts = _pruned(counts, characters, keep=kept)
    found = _scores(counts)
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _covered(words: Mapping[str, int], always: Collection[str]) -> frozenset[str]:
    """The commonest characters, up to `COVERAGE` of all."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    rest = (1 - COVERAGE) * sum(counts.values())
    found = set(counts)
    for character, count in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        if count > rest:
            break
        rest -= count
        found.remove(character)
    return frozenset(found) | frozenset(always)


def _seeds(words: Mapping[str, int], characters: frozenset[str], *, limit: int, longest: int) -> dict[str, int]:
    """Substrings that stand at least twice, those that cover most first, and every character."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for start in range(len(word)):
            for stop in range(start + 1, min(len(word), start + longest) + 1):
                if word[stop - 1] not in characters:
                    break
                counts[word[start:stop]] += count
    longer = [(piece, count) for piece, count in counts.items() if len(piece) > 1 and count > 1]
    longer.sort(key=lambda item: (-item[1] * len(item[0]), item[0]))
    single = {character: counts.get(character, 0) for character in sorted(characters)}
    return single | dict(longer[: max(0, limit - len(single))])


def _scores(counts: Mapping[str, int]) -> Scores:
    """Log-probabilities; what does not stand anywhere counts as half a time."""
    total = math.log(sum(max(count, 0.5) for count in counts.values()))
    return {piece: math.log(max(count, 0.5)) - total for piece, count in counts.items()}


def _counted(words: Mapping[str, int], scores: Scores, characters: frozenset[str], *, keep: int) -> dict[str, int]:
    """How often each piece stands in the likeliest segmentations; unused ones go while more than `keep` are left."""
    model = models.Unigram([(_UNKNOWN, -1000.0), *sorted(scores.items())], unk_id=0)
    counts = dict.fromkeys(scores, 0)
    for word, number in words.items():
        for token in model.tokenize(word):
            if token.value in counts:
                counts[token.value] += number
    order = sorted(counts, key=lambda piece: (piece not in characters, -counts[piece], piece))
    used = [piece for piece in order if counts[piece] or piece in characters]
    return {piece: counts[piece] for piece in order[: max(keep, len(used))]}


def _pruned(counts: Mapping[str, int], characters: frozenset[str], *, keep: int) -> dict[str, int]:
    """The pieces without those whose loss costs least."""
    scores = _scores(counts)

    def cost(piece: str) -> float:
        return counts[piece] * (scores[piece] - _without(piece, scores))

    longer = sorted((piece for piece in counts if piece not in characters), key=lambda piece: (-cost(piece), piece))
    single = [piece for piece in counts if piece in characters]
    return {piece: counts[piece] for piece in (*single, *longer[: max(0, keep - len(single))])}


def _without(piece: str, scores: Scores) -> float:
    """Log-probability of the best segmentation of a piece's text into other pieces."""
    best = [0.0] + [-math.inf] * len(piece)
    for stop in range(1, len(piece) + 1):
        for start in range(stop):
            part = piece[start:stop]
            if part in scores and len(part) < len(piece):
                best[stop] = max(best[stop], best[start] + scores[part])
    return best[-1]
