"""Measured models: rates, paired gains, what metrics.json holds, sentences, samples; damaged inputs are named."""

from __future__ import annotations

import json

import pytest

from burnish.errors import StoreError
from burnish.evals.scores import format_scores
from burnish.example import Completion, Example, assistant, read_jsonl, user, write_jsonl
from burnish.reports.evaluations import HELD_OUT_KINDS, TEST, comparisons, gain, metrics_of, rate, read_evaluation
from burnish.reports.findings import answer_notes, findings
from burnish.reports.invented import rewrite
from burnish.reports.samples import hashed, rule, side_by_side
from burnish.stats import paired_difference, pass_rate


def write(folder, outcomes, *, split="test", kind="bullets", length=50.0, logp=-1.0):
    """An evaluation whose prompt i has the answers `outcomes[i]`."""
    folder.mkdir()
    examples = [
        Example(
            id=f"p{i}",
            prompt=(user(f"prompt {i}"),),
            completions=tuple(Completion(messages=(assistant("a"),), score=float(s)) for s in scores),
            columns={"kind": kind, "split": split} if kind else {},
        )
        for i, scores in enumerate(outcomes)
    ]
    write_jsonl(folder / "examples.jsonl", examples)
    mean = {"low": 0.0, "high": 0.0, "count": len(outcomes)}
    scores = format_scores(examples) | {"length_tokens": {"mean": length, **mean}}
    (folder / "scores.json").write_text(json.dumps(scores | {"reference_logp_per_token": {"mean": logp, **mean}}))
    return folder


@pytest.fixture
def measured(recipe):
    return [read_evaluation(name, recipe[f"{name}_scores"]) for name in ("start", "sft", "dpo")]


def test_rates_take_the_answers_of_a_prompt_together(tmp_path):
    outcomes = [[1, 1, 1, 1]] * 6 + [[0, 0, 0, 0]] * 6
    evaluation = read_evaluation("x", write(tmp_path / "x", outcomes))
    expected = pass_rate([s for o in outcomes for s in o], clusters=[i for i, o in enumerate(outcomes) for _ in o])
    assert rate(evaluation.answers) == expected
    assert expected.high - expected.low > pass_rate([1] * 24 + [0] * 24).high - 0.5


def test_a_gain_pairs_the_answers_of_the_same_prompt(tmp_path):
    before = read_evaluation("a", write(tmp_path / "a", [[0, 1], [0, 0], [1, 1]]))
    after = read_evaluation("b", write(tmp_path / "b", [[1, 1], [0, 1], [1, 1], [0, 0]]))  # p3 has no partner
    expected = paired_difference([0, 1, 0, 0, 1, 1], [1, 1, 0, 1, 1, 1], clusters=[0, 0, 1, 1, 2, 2])
    assert gain(before.answers, after.answers) == expected
    assert gain(before.answers, [a for a in after.answers if a.prompt_id == "p3"]) is None


def test_comparisons_are_each_step_and_the_whole():
    assert comparisons(["a", "b", "c"]) == (("a", "b"), ("b", "c"), ("a", "c"))
    assert comparisons(["a", "b"]) == (("a", "b"),)
    assert comparisons(["a"]) == ()


def test_metrics_hold_what_the_issue_asks_for(measured, recipe):
    metrics = metrics_of(measured)
    assert list(metrics) == ["start", "sft", "dpo", "gains", "held_out_gains"]
    assert list(metrics["gains"]) == ["sft-start", "dpo-sft", "dpo-start"]
    for name in ("start", "sft", "dpo"):
        theirs = format_scores(list(read_jsonl(recipe[f"{name}_scores"] / "examples.jsonl")))
        for part in ("overall", "kinds", "held_out_kinds"):
            assert metrics[name][part] == theirs[part]
    assert metrics["gains"]["sft-start"]["estimate"] == pytest.approx(
        metrics["sft"]["overall"]["pass_rate"] - metrics["start"]["overall"]["pass_rate"]
    )
    json.dumps(metrics, allow_nan=False)


def test_prompts_without_kinds_are_only_an_overall_rate(tmp_path):
    evaluation = read_evaluation("x", write(tmp_path / "x", [[1], [0]], kind=None))
    assert (evaluation.kinds(TEST), evaluation.kinds(HELD_OUT_KINDS)) == ((), ())
    assert rate(evaluation.of(TEST)).estimate == 0.5


def test_the_speakers_of_a_conversation_are_named(tmp_path):
    folder = write(tmp_path / "x", [[1]])
    turns = (user("Hello."), assistant("Hi."), user("Three bullets."))
    answer = Completion(messages=(assistant("a"),), score=1.0)
    write_jsonl(folder / "examples.jsonl", [Example(id="p0", prompt=turns, completions=(answer,))])
    (answer,) = read_evaluation("x", folder).answers
    assert answer.prompt == "user: Hello.\nassistant: Hi.\nuser: Three bullets."


def test_missing_files_are_named(tmp_path):
    folder = write(tmp_path / "x", [[1]])
    (folder / "scores.json").unlink()
    with pytest.raises(StoreError, match=r"scores\.json cannot be read"):
        read_evaluation("x", folder)
    (folder / "examples.jsonl").unlink()
    with pytest.raises(StoreError, match=r"examples\.jsonl is missing"):
        read_evaluation("x", folder)


def test_damaged_files_are_named(tmp_path):
    folder = write(tmp_path / "x", [[1]])
    (folder / "scores.json").write_text('{"overall": ')
    with pytest.raises(StoreError, match=r"scores\.json is damaged: found .*expected JSON"):
        read_evaluation("x", folder)
    (folder / "scores.json").write_text("[]")
    with pytest.raises(StoreError, match=r"scores\.json is damaged: found \[\]; expected a JSON object"):
        read_evaluation("x", folder)
    (folder / "scores.json").write_text("{}")
    with pytest.raises(StoreError, match=r"scores\.json: 'overall\.pass_rate' is None; expected a number"):
        read_evaluation("x", folder)
    (folder / "examples.jsonl").write_text("{not json\n")
    with pytest.raises(StoreError, match=r"examples\.jsonl is damaged: .*row 1"):
        read_evaluation("x", folder)


def test_scores_that_contradict_the_answers_are_refused(tmp_path):
    folder = write(tmp_path / "x", [[1], [0]])
    rewrite(folder / "scores.json", {"overall": {"pass_rate": 0.9}})
    with pytest.raises(StoreError, match=r"scores\.json says that 0\.9000 .* holds 0\.5000"):
        read_evaluation("x", folder)


def test_ungraded_answers_and_none_at_all_are_refused(tmp_path):
    folder = write(tmp_path / "x", [[1]])
    write_jsonl(folder / "examples.jsonl", [Example(id="p", completions=(Completion(messages=(assistant("a"),)),))])
    with pytest.raises(StoreError, match=r"examples\.jsonl, example 'p': answer 0 has no score"):
        read_evaluation("x", folder)
    write_jsonl(folder / "examples.jsonl", [])
    with pytest.raises(StoreError, match=r"examples\.jsonl holds no answer to a test prompt"):
        read_evaluation("x", folder)


def compared(tmp_path, before, after, **changes):
    return [
        read_evaluation("old", write(tmp_path / "old", before)),
        read_evaluation("new", write(tmp_path / "new", after, **changes)),
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([[0]] * 30 + [[1]] * 10, [[1]] * 30 + [[0]] * 10, "new is better than old: 75% against 25%"),
        ([[1]] * 40, [[0]] * 40, "new is worse than old: 0% against 100%"),
        ([[1], [0]] * 10, [[1], [0]] * 10, "no difference between new and old was found: 50% against 50%"),
    ],
)
def test_the_sentence_says_what_was_found_even_if_it_is_nothing(tmp_path, before, after, said):
    sentence = findings(compared(tmp_path, before, after))[0]
    assert said in sentence
    assert "95% interval" in sentence


def test_kinds_that_got_worse_are_named(tmp_path):
    evaluations = []
    for name, bad in (("old", 1), ("new", 0)):
        folder = write(tmp_path / name, [[1 - bad]] * 20)
        rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text().splitlines()]
        worse = [{**row, "id": f"q{row['id']}", "columns": {"kind": "quoted", "split": "test"}} for row in rows]
        for row in worse:
            row["completions"] = [{**row["completions"][0], "score": float(bad)}]
        (folder / "examples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows + worse))
        (folder / "scores.json").write_text(json.dumps(format_scores(list(read_jsonl(folder / "examples.jsonl")))))
        evaluations.append(read_evaluation(name, folder))
    sentences = findings(evaluations)
    assert "Of 2 kinds, from old to new: 1 better, 1 worse (quoted), 0 without a clear difference" in sentences[1]


def test_one_model_gets_a_rate_and_models_without_shared_prompts_no_gain(tmp_path):
    (only,) = compared(tmp_path, [[1], [0]], [[1]])[:1]
    assert findings([only]) == ("50% (95% interval 9.5% to 91%) of the answers of old pass.",)


def test_answers_that_change_in_length_or_likelihood_get_a_note(tmp_path):
    assert not list(answer_notes(compared(tmp_path, [[1]], [[1]])))
    (tmp_path / "2").mkdir()
    notes = list(answer_notes(compared(tmp_path / "2", [[1]], [[1]], length=120.0, logp=-3.0)))
    assert ["120 tokens" in notes[0], "−3 nats per token" in notes[1]] == [True, True]


def test_samples_are_chosen_by_hash_and_never_by_outcome(measured):
    rows = side_by_side(measured, per_kind=2)
    assert len(rows) == 20
    by_kind: dict[str, list[str]] = {}
    for row in rows:
        assert len({a.prompt_id for a in row.answers}) == 1
        assert [a.number for a in row.answers] == [0, 0, 0]
        by_kind.setdefault(row.kind, []).append(row.answers[0].prompt_id)
    for kind, ids in by_kind.items():
        candidates = {a.prompt_id for a in measured[0].answers if a.kind == kind}
        assert ids == sorted(candidates, key=hashed)[:2]
    assert [row.held_out for row in rows] == [False] * 16 + [True] * 4
    assert "2 prompts" in rule(2)
    assert side_by_side(measured, per_kind=0) == ()
