"""The held-out split: a function of seed and prompts, and no prompt on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.data.split import held_out_split, split_key
from burnish.errors import DataError
from burnish.example import Completion, Example, Message, user


def examples_of(prompts: list[str]) -> list[Example]:
    return [Example(id=str(i), prompt=(user(prompt),)) for i, prompt in enumerate(prompts)]


DISTINCT = examples_of([f"prompt {i}" for i in range(200)])


def ids(examples: tuple[Example, ...]) -> list[str]:
    return [example.id for example in examples]


def test_sizes() -> None:
    assert len(held_out_split(DISTINCT, seed=0, count=17).held_out) == 17
    assert len(held_out_split(DISTINCT, seed=0, fraction=0.1).held_out) == 20
    assert len(held_out_split(DISTINCT[:5], seed=0, fraction=0.01).held_out) == 1


@given(st.lists(st.sampled_from("abcdefg"), min_size=2, max_size=30), st.integers(1, 10), st.integers(0, 5))
def test_a_prompt_stays_on_one_side(prompts: list[str], count: int, seed: int) -> None:
    examples = examples_of(prompts)
    try:
        split = held_out_split(examples, seed=seed, count=count)
    except DataError:
        smallest = min(prompts.count(prompt) for prompt in set(prompts))
        assert smallest > count or count >= len(prompts)
        return
    train, held_out = ({split_key(example) for example in side} for side in (split.train, split.held_out))
    assert not train & held_out
    assert 1 <= len(split.held_out) <= count
    assert sorted(ids(split.train) + ids(split.held_out), key=int) == ids(tuple(examples))
    assert ids(split.train) == sorted(ids(split.train), key=int)


def test_order_and_ids_do_not_matter() -> None:
    split = held_out_split(DISTINCT, seed=3, count=20)
    turned = [Example(id=f"x{example.id}", prompt=example.prompt) for example in reversed(DISTINCT)]
    other = held_out_split(turned, seed=3, count=20)
    assert {example.prompt for example in split.held_out} == {example.prompt for example in other.held_out}


def test_seed_matters() -> None:
    first, second = (ids(held_out_split(DISTINCT, seed=seed, count=50).held_out) for seed in (0, 1))
    assert first != second
    assert first == ids(held_out_split(DISTINCT, seed=0, count=50).held_out)


def test_more_held_out_keeps_those_that_were() -> None:
    few, many = (ids(held_out_split(DISTINCT, seed=0, count=count).held_out) for count in (10, 60))
    assert set(few) < set(many)


def test_plain_text_goes_by_its_own_text() -> None:
    texts = ["a", "b", "a", "c"]
    documents = [
        Example(id=str(i), completions=(Completion(messages=(Message(role="text", content=text),)),))
        for i, text in enumerate(texts)
    ]
    sides = held_out_split(documents, seed=0, count=2)
    held_out = {example.completions[0].text for example in sides.held_out}
    assert held_out.isdisjoint(example.completions[0].text for example in sides.train)


@pytest.mark.parametrize("count", [0, 200, 500])
def test_a_side_would_be_empty(count: int) -> None:
    with pytest.raises(DataError, match=f"cannot hold out {count} of 200 examples with 200 different prompts"):
        held_out_split(DISTINCT, seed=0, count=count)


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="either count or fraction"):
        held_out_split(DISTINCT, seed=0)
    with pytest.raises(ValueError, match=r"fraction is 1\.5"):
        held_out_split(DISTINCT, seed=0, fraction=1.5)
