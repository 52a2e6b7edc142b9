"""The generator of prompts: disjoint splits, equal kinds, no duplicates, a function of its keys."""

import itertools
import string
from collections import Counter

import pytest

from burnish.errors import ConfigError
from burnish.graders.format import CONSTRAINTS, constraint_from
from burnish.graders.phrasing import BeginsWith, EndsWith, WordTimes
from burnish.graders.words import names_topic, words
from burnish.synth.format_prompts import (
    FULL_PROMPT,
    HELD_OUT_KINDS,
    SPLITS,
    TRAINED_KINDS,
    VARIANTS,
    kinds_of,
    prompts,
)
from burnish.synth.format_wordings import (
    HELD_OUT_WORDINGS,
    TEST_REQUESTS,
    TEST_WORDINGS,
    TRAIN_REQUESTS,
    TRAIN_WORDINGS,
)
from burnish.synth.topics import FAMILIES, held_out_topics, training_topics

ALL_WORDINGS = [
    (kind, wording)
    for table in (TRAIN_WORDINGS, TEST_WORDINGS, HELD_OUT_WORDINGS)
    for kind, wordings in table.items()
    for wording in wordings
]
TOPICS = training_topics() + held_out_topics()


def _columns(examples, name):
    return {example.columns[name] for example in examples}


def test_the_tables_are_as_large_as_promised():
    assert len(TOPICS) >= 160
    assert len(TRAIN_REQUESTS) + len(TEST_REQUESTS) >= 10
    assert sorted(TRAINED_KINDS + HELD_OUT_KINDS) == sorted(CONSTRAINTS) == sorted(VARIANTS)
    assert len(HELD_OUT_KINDS) == 3
    assert {"lower_case", "bullets", "json_keys"} <= set(TRAINED_KINDS)
    assert all(len(wordings) >= 6 for wordings in (*TRAIN_WORDINGS.values(), *HELD_OUT_WORDINGS.values()))
    assert all(len(family) >= 4 for family in FAMILIES.values())  # so that each family is on both sides


def test_every_kind_puts_its_constraint_before_and_behind_the_request():
    for kind in CONSTRAINTS:
        own = [wording for name, wording in ALL_WORDINGS if name == kind]
        assert any(wording.startswith("{request}") for wording in own)
        assert any(wording.endswith("{request}") for wording in own)


def test_no_topic_names_another_so_that_the_splits_share_none():
    for one, other in itertools.permutations(TOPICS, 2):
        assert not names_topic(one, other), (one, other)


def test_no_prompt_text_names_a_topic_but_its_own():
    parts = [wording for _, wording in ALL_WORDINGS] + list(TRAIN_REQUESTS + TEST_REQUESTS)
    bare = ["".join(text for text, *_ in string.Formatter().parse(part)) for part in parts]
    for topic in TOPICS:
        assert not any(names_topic(text, topic) for text in bare), topic


def test_training_and_test_share_no_topic_request_or_wording():
    train = prompts(seed=0, count=900, split="train")
    for split in ("test", "held_out_kinds"):
        other = prompts(seed=0, count=900, split=split)
        for column in ("topic", "request", "wording"):
            assert not _columns(train, column) & _columns(other, column)
    assert not set(TRAIN_REQUESTS) & set(TEST_REQUESTS)


def test_training_never_sees_the_held_out_kinds():
    assert _columns(prompts(seed=0, count=200, split="train"), "kind") == set(TRAINED_KINDS)
    assert _columns(prompts(seed=0, count=200, split="test"), "kind") == set(TRAINED_KINDS)
    assert _columns(prompts(seed=0, count=200, split="held_out_kinds"), "kind") == set(HELD_OUT_KINDS)


@pytest.mark.parametrize("split", SPLITS)
def test_kinds_are_equally_frequent_and_no_prompt_comes_twice(split):
    drawn = prompts(seed=3, count=720, split=split)
    counts = Counter(example.columns["kind"] for example in drawn)
    assert set(counts.values()) == {720 // len(kinds_of(split))}
    assert len({example.prompt[0].content for example in drawn}) == 720
    assert len({example.id for example in drawn}) == 720
    assert _columns(drawn, "split") == {split}


def test_prompts_are_a_function_of_seed_and_place():
    assert prompts(seed=1, count=60, split="train") == prompts(seed=1, count=60, split="train")
    assert prompts(seed=1, count=90, split="train")[:60] == prompts(seed=1, count=60, split="train")
    one, other = prompts(seed=1, count=60, split="train"), prompts(seed=2, count=60, split="train")
    assert len({e.prompt for e in one} & {e.prompt for e in other}) < 5


@pytest.mark.parametrize("split", SPLITS)
def test_the_prompt_says_what_the_constraint_wants(split):
    for example in prompts(seed=0, count=360, split=split):
        text, constraint = example.prompt[0].content, example.columns["constraint"]
        assert constraint_from(constraint).kind == example.columns["kind"]
        assert names_topic(text, example.columns["topic"])
        assert "{" not in text
        for name in ("word", "phrase"):
            assert str(constraint.get(name, "")) in text
        assert all(f'"{key}"' in text for key in constraint.get("keys", ()))
        spelled = {2: "two", 3: "three", 4: "four", 5: "five"}
        if "count" in constraint:
            assert {str(constraint["count"]), spelled.get(constraint["count"])} & set(words(text))


def test_demanded_words_fit_every_topic():
    for constraint in itertools.chain.from_iterable(VARIANTS.values()):
        if isinstance(constraint, (BeginsWith, WordTimes, EndsWith)):
            text = constraint.phrase if isinstance(constraint, EndsWith) else constraint.word
            assert not any(names_topic(text, topic) for topic in TOPICS)


def test_request_only_keeps_the_whole_prompt_in_a_column():
    whole = prompts(seed=4, count=50, split="train")
    bare = prompts(seed=4, count=50, split="train", request_only=True)
    for one, other in zip(whole, bare, strict=True):
        assert other.columns[FULL_PROMPT] == one.prompt[0].content
        assert other.prompt[0].content in one.prompt[0].content
        assert other.prompt != one.prompt
        assert other.columns["constraint"] == one.columns["constraint"]


def test_kinds_can_be_chosen():
    drawn = prompts(seed=0, count=20, split="train", kinds=("bullets", "quoted"))
    assert Counter(e.columns["kind"] for e in drawn) == {"bullets": 10, "quoted": 10}


def test_a_kind_of_another_split_is_refused():
    with pytest.raises(ConfigError, match="split 'train' has no kind 'upper_case'; it has lower_case"):
        prompts(seed=0, count=1, split="train", kinds=("upper_case", "bullets"))


def test_more_prompts_than_there_are_is_refused_with_the_number_there_is():
    most = len(held_out_topics()) * len(TEST_REQUESTS) * len(TEST_WORDINGS["quoted"])
    drawn = prompts(seed=0, count=int(most * 0.9), split="test", kinds=("quoted",))
    assert len({e.prompt for e in drawn}) == int(most * 0.9)
    with pytest.raises(ConfigError, match=f"has {most} different prompts"):
        prompts(seed=0, count=most + 1, split="test", kinds=("quoted",))
