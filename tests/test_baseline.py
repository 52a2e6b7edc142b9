"""Counts that do not depend on the clock are as committed; and what would make something slower is caught."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks import baseline
from burnish.models import language
from burnish.objectives.grpo import GRPO
from burnish.sampling.cache import Decode

COUNTS = ("tokens", "flops", "passes.bytes", "update.bytes")
BEFORE: Mapping[str, Any] = json.loads(baseline.FILE.read_text(encoding="utf-8"))


def left(now: Mapping[str, Any]) -> list[str]:
    """What has left its slack, of the counts that were taken."""
    return baseline.differences(now, {name: BEFORE[name] for name in now})


def updates(name: str) -> dict[str, Any]:
    objective, trees = baseline.methods()[name]
    return {f"{name}.{what}": value for what, value in baseline.update_counts(objective, trees).items()}


def test_every_count_of_the_baseline_is_taken():
    names = {f"{name}.{what}" for name in baseline.methods() for what in COUNTS}
    names |= {f"{name}.{what}" for name in baseline.STARTS for what in ("modules", "heavy")}
    assert set(BEFORE) == names | {"decoding.calls"}


@pytest.mark.parametrize("name", baseline.methods())
def test_an_update(name):
    assert left(updates(name)) == []


def test_a_decoding_step():
    assert left({"decoding.calls": baseline.decoding_calls(baseline._model())}) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", baseline.STARTS)
def test_what_a_start_imports(name):
    assert left(baseline.start_counts(name, baseline.STARTS[name])) == []


def test_importing_the_package_imports_nothing_heavy():
    assert BEFORE["import.heavy"] == []
    assert BEFORE["help.heavy"] == []
    assert left(baseline.start_counts("import", baseline.STARTS["import"])) == []


def test_a_prompt_computed_once_per_answer_is_caught():
    trees = [piece for tree in baseline.methods()["grpo"][1] for piece in tree.pieces()]
    apart = [replace(piece, id=str(number)) for number, piece in enumerate(trees)]
    found = {f"grpo.{what}": value for what, value in baseline.update_counts(GRPO(), apart).items()}
    assert any(line.startswith("grpo.tokens was 200, is 480: it grew") for line in left(found))


def test_logits_computed_twice_are_caught(monkeypatch: pytest.MonkeyPatch):
    once = language.token_outputs

    def twice(*args: Any, **settings: Any) -> dict[str, torch.Tensor]:
        once(*args, **settings)
        return once(*args, **settings)

    monkeypatch.setattr(language, "token_outputs", twice)
    assert any(line.startswith("sft.flops") and line.endswith("it grew") for line in left(updates("sft")))


def test_layers_computed_twice_are_caught(monkeypatch: pytest.MonkeyPatch):
    once = language.LanguageModel.hidden

    def twice(self: language.LanguageModel, batch: Any) -> torch.Tensor:
        return (once(self, batch) + once(self, batch)) / 2

    monkeypatch.setattr(language.LanguageModel, "hidden", twice)
    lines = left(updates("sft"))
    for name in ("sft.tokens", "sft.flops", "sft.passes.bytes"):
        assert any(line.startswith(name) and line.endswith("it grew") for line in lines), name


def test_more_work_in_a_decoding_step_is_caught(monkeypatch: pytest.MonkeyPatch):
    attend = Decode.attend

    def again(self: Decode, *args: Any) -> torch.Tensor:
        attend(self, *args)
        return attend(self, *args)

    monkeypatch.setattr(Decode, "attend", again)
    found = {"decoding.calls": baseline.decoding_calls(baseline._model())}
    assert left(found)[0].endswith("it grew")


def test_an_eager_import_is_caught():
    found = baseline.start_counts("import", f"{baseline.STARTS['import']}; import scipy")
    assert any("imports scipy too; import where it is used" in line for line in left(found))


def test_what_shrank_asks_for_a_new_baseline():
    now = {**BEFORE, "sft.flops": BEFORE["sft.flops"] // 2, "help.heavy": []}
    lines = baseline.differences(now, {**BEFORE, "help.heavy": ["torch"]})
    assert lines[0].endswith("it shrank; write the baseline anew to hold that")
    assert lines[1] == "help.heavy no longer imports torch; write the baseline anew to hold that"


def test_counts_that_come_and_go_are_named():
    assert baseline.differences({"new.calls": 1}, {"old.calls": 2}) == [
        "old.calls is no longer counted",
        "new.calls is 1, and the baseline has no such count",
    ]
