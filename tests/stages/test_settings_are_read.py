"""Every field of every stage is read somewhere, and can be changed to another valid value (pain 21)."""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import burnish
from burnish.config import is_settings, leaves, load, merged, options
from burnish.stages.judging import Judge
from burnish.stages.registry import STAGES, stage_class
from tests.stages.changes import ALONE, changed_values
from tests.stages.counting import CountStage, JoinStage

TRAINING = ("pretrain", "doremi", "sft", "reward", "dpo", "ipo", "kto", "orpo", "simpo", "plackett-luce")

WITHOUT_REFERENCE: dict[str, dict[str, Any]] = {
    "reinforce": {},
    "rloo": {},
    "grpo": {"objective": {"kl_weight": 0.0}},
    "ppo": {"kl": {"weight": 0.0}},
    "online-dpo": {"objective": {"reference_free": True}},
}
"""What the verbs of online training need where there is no reference."""

JUDGE = {
    "url": "http://localhost:8000/v1",
    "model": "x",
    "wording": {"question": "$rubric $prompt $answer $mark.", "reminder": "Again."},
}

EWC = {"ewc": {"fisher": "x", "strength": 1.0}}

BASES: dict[str, dict[str, Any]] = {
    **{verb: {"adapter": {}, **EWC} for verb in TRAINING},
    "sft": {"adapter": {}, **EWC, "held_out_tasks": {"data": ["x"]}},
    **{verb: {"adapter": {}, **EWC} for verb in ("classify", "tag", "answer-spans", "seq2seq", "denoise")},
    **{verb: {"adapter": {}, "held_out": 4, **EWC} for verb in WITHOUT_REFERENCE},
    **{verb: {"judge": JUDGE} for verb in ("grade", "evaluate")},
    "tokenise": {"data": {"x": "x"}},
    "mix": {"data": {"x": "x"}},
    "curate": {"data": {"x": "x"}, "steps": [{"kind": "exact-dedup"}]},
}
"""Settings that others need."""

ALSO = {"columns": {"prompt": "question"}, "date": "2020-02-20", "data": "other", "judge": {"model": "y"}} | {
    "steps": [{"kind": "sample", "share": 0.5}],
    "fields": {"text": "content"},
    "weights": {"x": 2.0},
    "bounds": {"x": 2.0},
    "class_weights": {"x": 2.0},
    "classes": ["x", "y"],
}
"""Values for settings that take a form of their own."""

JUDGED = {"reward": {"grader": "judge", "judge": JUDGE}}
BESIDE = {
    **{f"reward.judge{name}": JUDGED for name in ("", *(f".{leaf.name}" for leaf in leaves(Judge)))},
    "reward.judge.baseline": merged(JUDGED, {"reward": {"judge": {"wording": None}}}),
    **ALONE,
    "combination.spread": {"combination": {"kind": "mean_minus_spread", "spread": 1.0}},
    "length.limit": {"length": {"limit": 300}},
    "judge.baseline": {"judge": {"wording": None}},  # that of the base asks for points
    "objective.constant_length": {"objective": {"average": "constant", "constant_length": 256}},
    "kl.kind": {"kl": {"weight": 0.1}},  # 0 could not follow anything
    "reward.models": {"reward": {"grader": "model", "models": ["x"]}},
}
"""What settings need beside them, by the ends of their names."""


@cache
def read_names() -> frozenset[str]:
    """The names of all attributes that the package reads, other than in assigning to them."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in Path(burnish.__path__[0]).rglob("*.py"))
    nodes = (node for tree in trees for node in ast.walk(tree))
    return frozenset(n.attr for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load))


def fields_of(cls: type) -> Iterator[tuple[str, str]]:
    """Every field of a settings class and of those nested in it, as (class, field)."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        yield cls.__name__, field.name
        for option in options(hints[field.name]):
            inner = typing.get_args(option)[:1] if typing.get_origin(option) is tuple else (option,)
            for nested in (part for item in inner for part in options(item) if is_settings(part)):
                yield from fields_of(nested)


def unread(cls: type, names: frozenset[str]) -> list[str]:
    return [f"{owner}.{name}" for owner, name in fields_of(cls) if name not in names and name != "kind"]


def start_of(verb: str, cls: type) -> dict[str, Any]:
    """The least that makes a valid value of `cls`."""
    required = [leaf for leaf in leaves(cls) if leaf.default is ... and "." not in leaf.name]
    return {leaf.name: {"x": "x"} if leaf.type == "mapping" else "x" for leaf in required} | BASES.get(verb, {})


@pytest.mark.parametrize("verb", STAGES)
def test_every_setting_of_a_stage_is_read_in_the_package(verb: str):
    assert unread(stage_class(verb), read_names()) == []


@pytest.mark.parametrize("verb", STAGES)
def test_every_setting_of_a_stage_can_be_changed(verb: str):
    cls = stage_class(verb)
    base = start_of(verb, cls)
    beside = BESIDE | ({"reference": WITHOUT_REFERENCE[verb]} if verb in WITHOUT_REFERENCE else {})
    for change in changed_values(cls, base, ALSO, beside).values():
        assert load(cls, merged(base, change)) != load(cls, base)


@pytest.mark.parametrize("verb", STAGES)
def test_every_stage_carries_its_verb(verb: str):
    assert stage_class(verb).verb == verb


def test_an_unread_setting_is_noticed():
    names = frozenset({"steps", "pace", "pause", "seconds", "factor", "every", "data", "more", "seed", "label", "loud"})
    assert unread(CountStage, names) == ["CountStage.fail_at", "CountStage.kill_at"]
    assert unread(CountStage, names | {"fail_at", "kill_at"} - {"factor"}) == []
    assert unread(CountStage, names - {"factor"} | {"fail_at", "kill_at"}) == ["Growing.factor"]


def test_changes_cover_every_setting_in_every_shape():
    found = changed_values(CountStage, {})
    assert found["steps"] == {"steps": 4}
    assert found["label"] == {"label": "x"}
    assert found["more"] == {"more": ["x"]}
    assert found["loud"] == {"loud": True}
    assert found["pace.pause.kind"] == {"pace": {"pause": {"kind": "growing"}}}
    assert found["pace.pause.factor (pace.pause.kind growing)"] == {
        "pace": {"pause": {"kind": "growing", "factor": 3.0}}
    }
    assert len(found) == len(list(leaves(CountStage)))
    assert changed_values(JoinStage, {"parts": {"a": "b"}})["parts"] == {"parts": {"a": "b", "x": "other"}}
