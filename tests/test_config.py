"""Settings: nested defaults, shapes chosen by kind, every mistake at once, words as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st

from burnish.config import (
    assigned,
    dump,
    imported,
    leaves,
    load,
    load_yaml,
    merged,
    setting,
    settings,
    sources,
    value_from,
)
from burnish.errors import ConfigError


@settings
class Cosine:
    kind: Literal["cosine"] = "cosine"
    warmup: int = setting(0, "steps of rise", unit="steps", ge=0)
    floor: float = setting(0.1, "lowest factor", ge=0)


@settings
class Constant:
    kind: Literal["constant"] = "constant"
    warmup: int = setting(0, "steps of rise", unit="steps", ge=0)


@settings
class Train:
    rate: float = setting(1e-4, "learning rate", gt=0)
    schedule: Cosine | Constant = setting(Cosine(), "of the rate")
    every: int = setting(5, "between checkpoints", unit="steps", ge=1)

    def __post_init__(self) -> None:
        if self.every > 100:
            raise ValueError("every is over 100; take less")


@settings
class Mixed:
    kind: Literal["mean", "minimum"] = setting("mean", "how several become one")


@settings
class Lora:
    rank: int = setting(8, "rank", ge=1)


@settings
class Part:
    path: str = setting(..., "a file", source=True)
    share: float = setting(1.0, "weight", gt=0)


@settings
class Measured:
    reference: str | None = setting("start", "a model", source=True, own_words=("start",))


@settings
class Whole:
    model: str = setting(..., "where to start", source=True)
    data: tuple[str, ...] = setting((), "files", source=True)
    named: dict[str, str] | None = setting(None, "folders by name", source=True)
    parts: tuple[Part, ...] = setting((), "parts of a mixture")
    train: Train = setting(Train(rate=1e-6, schedule=Cosine(floor=0.3)), "how it goes")
    lora: Lora | None = setting(None, "an adapter")
    must: Cosine | Constant = setting(Constant(), "another")
    needed: Cosine | Constant | None = setting(None, "may be absent")
    pick: Literal["a", "b"] = setting("a", "one of two")
    steps: int | None = setting(None, "updates", unit="steps", ge=1)
    auto: float | Literal["auto"] = setting("auto", "a number or auto")


def mistakes_of(values: dict[str, Any], cls: type = Whole) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(cls, values, source="here")
    assert all(mistake.startswith("here: ") for mistake in caught.value.mistakes)
    return [mistake.removeprefix("here: ") for mistake in caught.value.mistakes]


def test_what_is_given_is_laid_over_the_default_of_the_field_and_not_of_its_class():
    value = load(Whole, {"model": "m", "train": {"every": 3}})
    assert value.train == Train(rate=1e-6, every=3, schedule=Cosine(floor=0.3))
    other = load(Whole, {"model": "m", "train": {"schedule": {"warmup": 2}}})
    assert other.train.schedule == Cosine(warmup=2, floor=0.3)


def test_a_changed_kind_starts_from_the_defaults_of_its_shape():
    value = load(Whole, {"model": "m", "train": {"schedule": {"kind": "constant"}}})
    assert value.train.schedule == Constant()
    back = load(Whole, {"model": "m", "must": {"kind": "cosine", "warmup": 1}})
    assert back.must == Cosine(warmup=1, floor=0.1)


@settings
class WithUsual:
    """Its choice may be left out."""

    schedule: Cosine | Constant | None = setting(None, "the rate", usual="constant")


def test_a_choice_that_is_left_out_is_the_usual_one():
    assert load(WithUsual, {}).schedule is None
    assert load(WithUsual, {"schedule": {}}).schedule == Constant()
    assert load(WithUsual, {"schedule": {"warmup": 3}}).schedule == Constant(warmup=3)
    assert load(WithUsual, {"schedule": {"kind": "cosine", "floor": 0.5}}).schedule == Cosine(floor=0.5)
    assert mistakes_of({"schedule": {"floor": 1}}, WithUsual) == [
        "unknown setting 'schedule.floor' (value 1); known here: kind, warmup"
    ]
    shown = {leaf.name: leaf for leaf in leaves(WithUsual) if not leaf.shape}
    assert shown["schedule"].choices == ("none", "{}")
    assert shown["schedule.kind"].default == "constant"


def test_every_mistake_is_listed_once_with_the_nearest_spelling():
    found = mistakes_of(
        {
            "modle": "m",
            "data": ["a", 1],
            "train": {"evry": 3, "rate": -1, "schedule": {"kind": "constant", "floor": 1}},
            "lora": {"rnk": 2, "rank": "many"},
            "pick": "c",
            "parts": [{"path": "x"}, {"path": "y", "shar": 1}],
        }
    )
    assert sorted(found) == sorted(
        [
            "unknown setting 'modle' (value 'm'); did you mean 'model'?",
            "unknown setting 'train.evry' (value 3); did you mean 'every'?",
            "unknown setting 'train.schedule.floor' (value 1); known here: kind, warmup",
            "'train.rate' is -1; it must be greater than 0",
            "unknown setting 'lora.rnk' (value 2); did you mean 'rank'?",
            "'lora.rank' is 'many'; expected whole number",
            "unknown setting 'parts[1].shar' (value 1); did you mean 'share'?",
            "'model' is required: where to start",
            "'data[1]' is 1; expected list of text",
            "'pick' is 'c'; it must be 'a' or 'b'",
        ]
    )


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"needed": {"warmup": 2}}, "'needed.kind' is required; it is one of cosine, constant"),
        ({"must": {"kind": "cosin"}}, "'must.kind' is 'cosin'; expected one of cosine, constant"),
        ({"must": {"kind": ["cosine"]}}, "'must.kind' is ['cosine']; expected one of cosine, constant"),
        ({"must": 3}, "'must' is 3; expected its settings by name"),
        ({"lora": 3}, "'lora' is 3; expected its settings by name"),
        ({"auto": "fast"}, "'auto' is 'fast'; it must be a valid number or 'auto'"),
        ({"train": {"every": 101}}, "train: every is over 100; take less"),
        ({"steps": 0}, "'steps' is 0; it must be greater than or equal to 1"),
        ({"steps": float("nan")}, "'steps' is nan; it must be a finite number"),
    ],
)
def test_one_mistake_reads_well(values: dict[str, Any], mistake: str):
    assert mistakes_of({"model": "m", **values}) == [mistake]


@settings
class Strict:
    lora: Lora = setting(..., "needed")
    least: int = setting(1, "at least 1 without an adapter")

    def __post_init__(self) -> None:
        raise ValueError("never right")


def test_what_follows_from_a_mistake_is_no_mistake_of_its_own():
    assert mistakes_of({"lora": {"rank": 0}}, Strict) == ["'lora.rank' is 0; it must be greater than or equal to 1"]
    assert mistakes_of({"lora": {"rank": 1}, "leats": 2}, Strict) == [
        "unknown setting 'leats' (value 2); did you mean 'least'?"
    ]
    assert mistakes_of({"lora": {"rank": 1}}, Strict) == ["never right"]


def test_dump_is_read_back_unchanged():
    value = load(Whole, {"model": "m", "lora": {}, "parts": [{"path": "x", "share": 2}], "named": {"a": "b"}})
    assert load(Whole, dump(value)) == value


@rules(deadline=None, max_examples=50)
@given(st.builds(Train, rate=st.floats(1e-9, 1), every=st.integers(1, 100), schedule=st.builds(Cosine)))
def test_dump_and_load_are_inverse(train: Train):
    assert load(Train, dump(train)) == train


def test_sources_are_named_as_in_the_plain_data():
    value = Whole(model="m", data=("a", "b"), named={"x": "c"}, parts=(Part(path="d"),))
    assert sources(value) == {"model": "m", "data[0]": "a", "data[1]": "b", "named.x": "c", "parts[0].path": "d"}


def test_a_word_of_a_sources_own_names_nothing():
    assert sources(Measured()) == sources(Measured(reference=None)) == {}
    assert sources(Measured(reference="m")) == {"reference": "m"}


def test_merged_keeps_siblings_and_drops_those_of_another_kind():
    base = {"a": {"b": 1, "c": 2}, "s": {"kind": "x", "only_x": 1}}
    assert merged(base, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}, "s": {"kind": "x", "only_x": 1}}
    assert merged(base, {"s": {"kind": "y"}})["s"] == {"kind": "y"}
    assert merged({"s": {"p": 1}}, {"s": {"kind": "y"}})["s"] == {"p": 1, "kind": "y"}  # the order does not matter
    assert base["a"] == {"b": 1, "c": 2}


def test_assigned_nests():
    assert assigned("a.b.c", 3) == {"a": {"b": {"c": 3}}}


def test_yaml_with_a_name_twice_is_refused(tmp_path: Path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: {c: 1, c: 2}\n")
    with pytest.raises(ConfigError, match="'c' stands here twice"):
        load_yaml(path)
    path.write_text("- 1\n")
    with pytest.raises(ConfigError, match="expected a mapping"):
        load_yaml(path)
    with pytest.raises(ConfigError, match="no such file"):
        load_yaml(tmp_path / "absent.yaml")


def test_leaves_show_the_default_of_the_field():
    by_name = {(leaf.name, leaf.shape): leaf for leaf in leaves(Whole)}
    assert by_name["train.rate", ""].default == 1e-6
    assert by_name["train.schedule.floor", "train.schedule.kind cosine"].default == 0.3
    assert by_name["must.kind", ""].default == "constant"
    assert by_name["must.kind", ""].choices == ("cosine", "constant")
    assert by_name["lora", ""].choices == ("none", "{}")
    assert by_name["steps", ""].unit == "steps"
    assert by_name["model", ""].default is ...
    assert by_name["model", ""].source


def test_a_kind_with_several_values_is_a_setting_of_its_own():
    (leaf,) = leaves(Mixed, "mixed.")
    assert (leaf.name, leaf.default, leaf.choices) == ("mixed.kind", "mean", ("mean", "minimum"))


@pytest.mark.parametrize(
    ("hint", "words", "value"),
    [
        (str, ["2024"], "2024"),
        (str, ["true"], "true"),
        (str | None, ["none"], None),
        (str | None, ["12"], "12"),
        (int | None, ["none"], None),
        (int, ["12"], 12),
        (float, ["1e-4"], 1e-4),
        (bool, ["true"], True),
        (Literal["on", "off"], ["off"], "off"),
        (Literal[1, 2], ["2"], 2),
        (float | Literal["auto"], ["auto"], "auto"),
        (float | Literal["auto"], ["0.5"], 0.5),
        (tuple[str, ...], ["a"], ["a"]),
        (tuple[str, ...], ["1", "b"], ["1", "b"]),
        (tuple[int, ...], ["[1, 2]"], [1, 2]),
        (tuple[str, ...], ["[]"], []),
        (str | tuple[str, ...], ["a"], "a"),
        (str | tuple[str, ...], ["[a, b]"], ["a", "b"]),
        (dict[str, str], ["{a: b}"], {"a": "b"}),
        (Path, ["7"], "7"),
        (None, ["1e-4"], 1e-4),
        (None, ["a: b: c"], "a: b: c"),
    ],
)
def test_words_become_values_by_the_type_of_the_setting(hint: Any, words: list[str], value: Any):
    found = value_from(hint, words)
    assert found == value
    assert type(found) is type(value)


def test_a_class_in_a_file_is_imported_once_per_content(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("class A:\n    x = 1\n")
    first = imported(f"{path}:A")
    assert imported(f"{path}:A") is first
    path.write_text("class A:\n    x = 22\n")
    assert vars(imported(f"{path}:A"))["x"] == 22


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mine", "names no class; expected path/to/file.py:Name or package.module:Name"),
        ("absent.py:A", "no such file: absent.py"),
        ("burnish.config:Leef", "has no class 'Leef'"),
        ("no_such_package.x:A", "there is no module 'no_such_package'"),
        ("burnish.no_such:A", "there is no module 'burnish.no_such'"),
    ],
)
def test_an_import_that_fails_says_why(spec: str, message: str):
    with pytest.raises(ConfigError) as caught:
        imported(spec)
    assert message in str(caught.value)


def test_a_file_that_fails_says_what_failed(tmp_path: Path):
    path = tmp_path / "mine.py"
    path.write_text("class Loss: pass\n1 / 0\n")
    with pytest.raises(ConfigError, match="fails when it is imported: ZeroDivisionError"):
        imported(f"{path}:Loss")
    path.write_text("class Loss: pass\n")
    with pytest.raises(ConfigError, match="did you mean 'Loss'"):
        imported(f"{path}:Los")
