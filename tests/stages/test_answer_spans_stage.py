"""The stage `answer-spans`: transformers' own loss, windows with stride, predictions merged over them, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from burnish.config import load, merged
from burnish.data.labelled import Question, Span
from burnish.errors import BadRow, ConfigError, DataError
from burnish.models.labelled import Spanned, row_cost
from burnish.models.labeller import SpanReader
from burnish.objectives.labels import SpanLikelihood
from burnish.stages.answer_spans import AnswerSpansStage
from burnish.stages.run import run_stage
from burnish.training.labelling import windows
from burnish.training.predicting import predicted_spans
from tests.stages.runs import FAST, digest, run, run_killed
from tests.stages.specialist_gradients import flat_gradient, require_gradient
from tests.stages.specialist_world import write_rows, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


def stage(world: Path, family: str = "bert", **changes: Any) -> AnswerSpansStage:
    base = {
        "model": str(world / family),
        "data": str(world / "questions.jsonl"),
        "held_out": 8,
        "max_tokens": 32,
        "stride": 8,
        "steps": 40,
        "train": {**FAST, "batch_size": 12, "checkpoint_every": 3, "evaluate_every": 10},
    }
    return load(AnswerSpansStage, merged(base, changes))


def test_a_model_that_cannot_say_not_here_is_refused(world):
    with pytest.raises(DataError, match="puts nothing in front of a question"):
        stage(world, "llama").plan()


def test_the_loss_and_the_gradient_are_those_of_transformers_for_any_split(world):
    made = stage(world)
    labels = made._labels(lambda line: None)
    items = [item for item in labels.train if len(item.tokens) == 32][:5]  # padding counts in transformers' loss
    assert len(items) == 5
    batch = Spanned.collate(items)
    model = made.load(labels)[0].requires_grad_(True)
    theirs = model(
        input_ids=batch.rows.tokens_BL,
        token_type_ids=batch.rows.types_BL,
        start_positions=batch.first_B,
        end_positions=batch.last_B,
    ).loss
    expected = flat_gradient(theirs, model)
    require_gradient(SpanReader(model), SpanLikelihood(), items, expected, cost=row_cost)


def test_padding_takes_no_share_of_the_probability(world):
    made = stage(world)
    labels = made._labels(lambda line: None)
    part = SpanReader(made.load(labels)[0])
    short = min(labels.train, key=lambda item: len(item.tokens))
    long = max(labels.train, key=lambda item: len(item.tokens))
    reads = frozenset({"first_logps", "last_logps"})
    alone = part(Spanned.collate([short]), reads)["first_logps"][0]
    beside = part(Spanned.collate([short, long]), reads)["first_logps"][0]
    assert len(long.tokens) > len(short.tokens)
    torch.testing.assert_close(beside[: len(alone)], alone)
    assert float(beside.exp().sum()) == pytest.approx(1.0, rel=1e-5)


def test_every_window_holds_the_question_and_the_answer_keeps_its_characters(world):
    tokenizer = stage(world)._labels(lambda line: None).tokenizer
    context = "It rains here. " * 6 + "Ada has a topaz now. " + "It is old. " * 6
    row = Question(
        id="q", question="What has Ada?", context=context, answers=(Span(text="topaz", start=context.index("topaz")),)
    )
    group = windows(row, tokenizer, stride=8)
    assert len(group) > 3
    asked = tokenizer(row.question, add_special_tokens=False)["input_ids"]
    for one in group:
        assert list(one.item.tokens[1 : 1 + len(asked)]) == asked
        assert len(one.item.tokens) <= 32
    covered = {place for one in group for a, b in zip(one.starts, one.stops, strict=True) for place in range(a, b)}
    assert covered >= {place for place, letter in enumerate(context.rstrip()) if letter != " "}
    holding = [one for one in group if one.item.first]
    assert 1 <= len(holding) < len(group)
    for one in holding:
        assert context[one.starts[one.item.first] : one.stops[one.item.last]].strip() == "topaz"


class Fixed(torch.nn.Module):
    """A reader that knows one place in the characters of the context, and says so only in windows that hold it."""

    provides = frozenset({"first_logps", "last_logps"})

    def __init__(self, groups: Any, span: tuple[int, int]) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.known = {window.item.tokens: window for group in groups for window in group}
        self.span = span

    def forward(self, batch: Any, reads: frozenset[str]) -> dict[str, torch.Tensor]:
        found = {name: torch.zeros(batch.rows.tokens_BL.shape) for name in self.provides}
        for row, mask in enumerate(batch.rows.mask_BL):
            window = self.known[tuple(batch.rows.tokens_BL[row, : int(mask.sum())].tolist())]
            for name, ends, wanted in (("first_logps", window.starts, 0), ("last_logps", window.stops, 1)):
                places = [place for place, end in enumerate(ends) if end == self.span[wanted]]
                found[name][row, places[0] if places else 0] = 5.0
        return {name: torch.log_softmax(value, -1) for name, value in found.items()}


def test_predictions_are_merged_over_windows(world):
    tokenizer = stage(world)._labels(lambda line: None).tokenizer
    context = "It rains here. " * 8 + "Ada has a topaz now."
    start = context.index(" topaz")  # where the token begins
    row = Question(id="q", question="What has Ada?", context=context, answers=())
    groups = [windows(row, tokenizer, stride=8)]
    inside = {(a, b) for one in groups[0] for a, b in zip(one.starts, one.stops, strict=True) if a >= 0}
    first = next(a for a, b in sorted(inside) if b > start + 1)
    last = next(b for a, b in sorted(inside) if b >= start + 6)
    for may_lack in (False, True):
        found = predicted_spans(Fixed(groups, (first, last)), groups, budget=100, longest=8, may_lack=may_lack)
        assert context[slice(*found[0])].strip() == "topaz"
    nowhere = Fixed(groups, (-5, -5))
    assert predicted_spans(nowhere, groups, budget=100, longest=8, may_lack=True) == [None]
    assert predicted_spans(nowhere, groups, budget=100, longest=8, may_lack=False) != [None]


def test_it_learns_and_transformers_reads_the_same(world, tmp_path):
    known = {"held_out": 0, "held_out_data": str(world / "questions.jsonl")}
    out = run(stage(world, **known), tmp_path / "out")
    scores = json.loads((out / "scores.json").read_text())
    assert scores["f1"] > 0.9
    assert scores["without_answer"]["exact_match"] > 0.9
    answers = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert len(answers) == scores["questions"]
    labels = stage(world, **known)._labels(lambda line: None)
    rows = {row.id: row for row in labels.held_out_rows}
    assert all(answer["answer"] in rows[answer["id"]].context for answer in answers)
    model = AutoModelForQuestionAnswering.from_pretrained(out / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    row = min(rows.values(), key=lambda one: len(one.context))
    (window,) = windows(row, labels.tokenizer, stride=8)
    given = tokenizer(row.question, row.context, return_tensors="pt")
    assert tuple(given["input_ids"][0].tolist()) == window.item.tokens
    logits = model(**given).start_logits[0]
    found = SpanReader(model)(Spanned.collate([window.item]), frozenset({"first_logps"}))["first_logps"][0]
    torch.testing.assert_close(found, torch.log_softmax(logits, -1))


def test_a_killed_run_ends_with_the_same_bytes(world, tmp_path):
    made = stage(world, steps=5)
    whole = run(made, tmp_path / "whole")
    run_killed(made, tmp_path / "killed", after=4)
    assert digest(run(made, tmp_path / "killed")) == digest(whole)


@pytest.mark.parametrize(
    ("row", "changes", "error", "message"),
    [
        ({"answer": "mud"}, {}, BadRow, "field 'answer': found 'mud'; expected a part of the context"),
        (
            {"answers": {"text": ["opal"], "answer_start": [12]}},
            {},
            BadRow,
            "found 12, from where 'opal' reaches 16; expected a span that ends within the 13 characters",
        ),
        ({"answers": {"text": ["ruby"], "answer_start": [0]}}, {}, BadRow, "at 0 the context has 'Ada '"),
        ({"answers": {"text": ["opal"], "answer_start": []}}, {}, BadRow, "expected as many starts as texts"),
        ({"answers": ["opal"]}, {}, BadRow, "expected an object with the lists text and answer_start"),
        ({"answer": "opal", "question": "Why? " * 20}, {}, DataError, "tokens, which leaves 0 of 32 for the context"),
        ({"answer": "opal"}, {"stride": 32}, ConfigError, "stride is 32, and a window has 32 tokens"),
    ],
)
def test_what_could_not_work_is_refused_before_the_first_step(world, tmp_path, row, changes, error, message):
    rows = [{"question": "What has Ada?", "context": "Ada has opal.", **row}]
    data = write_rows(tmp_path / "rows.jsonl", rows)
    made = stage(world, data=str(data), held_out=0, **changes)
    for work in (made.plan, lambda: run_stage(made, tmp_path / "out", say=print)):
        with pytest.raises(error, match=message):
            work()
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
