"""The stages that make data: prompts -> (samples) -> repair, and (samples) -> grade -> pairs."""

import json
from dataclasses import replace

import pytest

from burnish.config import load, sources
from burnish.errors import ConfigError, DataError, GraderError
from burnish.example import Completion, Example, assistant, read_jsonl, user, write_jsonl
from burnish.graders.registry import Entry
from burnish.graders.words import words
from burnish.protocols import Grade
from burnish.stages.artefact import answered_in, examples_in, write_examples, write_scores
from burnish.stages.grade import GradeStage, graded
from burnish.stages.pairs import PairsStage
from burnish.stages.prompts import PromptsStage
from burnish.stages.repair import RepairStage
from burnish.stages.stage import Work
from burnish.synth.format_prompts import prompts

TEXT = "Many people like {topic} for more than one reason. They tell their friends about it."


def _work(out):
    said = []
    return Work(out=out, say=said.append, record=lambda facts: None), said


def _run(stage, out):
    work, said = _work(out)
    stage.run(work)
    scores = out / "scores.json"
    return list(read_jsonl(out / "examples.jsonl")), json.loads(scores.read_text()) if scores.exists() else {}, said


def _completion(text, finish="stop", **fields):
    return Completion(messages=(assistant(text),), finish=finish, **fields)


def _file(path, examples):
    write_jsonl(path, examples)
    return str(path)


def _lower_case_prompts(count, *texts, **options):
    """Prompts that want lower case, each answered by `texts` with its topic filled in."""
    drawn = prompts(seed=0, count=count, split="train", kinds=("lower_case",), **options)
    return [
        replace(e, completions=tuple(_completion(t.format(topic=e.columns["topic"])) for t in texts)) for e in drawn
    ]


# --- artefact


def test_examples_come_back_unchanged_from_a_folder_and_from_its_file(tmp_path):
    sampled = replace(_completion("hello"), token_ids=(1, 2), logps=(-0.5, -1.5), score=0.5, reasons=("so so",))
    examples = [replace(e, completions=(sampled,)) for e in prompts(seed=0, count=3, split="test")]
    work, _ = _work(tmp_path / "run")
    assert write_examples(work, examples) == 3
    write_scores(work, {"count": 3})
    assert examples_in(work.out) == examples_in(str(work.out / "examples.jsonl")) == answered_in(work.out) == examples
    assert json.loads((work.out / "scores.json").read_text()) == {"count": 3}
    assert sorted(p.name for p in work.out.iterdir()) == ["examples.jsonl", "scores.json"]


def test_data_that_is_not_there_or_not_answered_is_named(tmp_path):
    with pytest.raises(DataError, match=r"found no file .*nowhere; expected a run's folder with examples.jsonl"):
        examples_in(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"found no file .*examples.jsonl"):
        examples_in(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(DataError, match="is empty"):
        examples_in(tmp_path / "empty.jsonl")
    with pytest.raises(DataError, match=r"holds 2 prompts and no completions.*burnish sample"):
        answered_in(_file(tmp_path / "p.jsonl", prompts(seed=0, count=2, split="train")))


# --- prompts


def test_prompts_writes_what_the_generator_draws(tmp_path):
    examples, _, said = _run(PromptsStage(train=0, test=18, held_out_kinds=9, seed=7), tmp_path)
    expected = [*prompts(seed=7, count=18, split="test"), *prompts(seed=7, count=9, split="held_out_kinds")]
    assert examples == expected
    assert said == [f"27 prompts in {tmp_path}"]


@pytest.mark.parametrize(
    "change",
    [{"train": 20}, {"test": 9}, {"held_out_kinds": 9}, {"kinds": ("bullets",)}, {"request_only": True}, {"seed": 1}],
)
def test_each_setting_of_prompts_changes_the_prompts(change, tmp_path):
    base, _, _ = _run(PromptsStage(train=9), tmp_path / "a")
    changed, _, _ = _run(PromptsStage(**{"train": 9, **change}), tmp_path / "b")
    assert base != changed


def test_prompts_plan_counts_kinds_and_reports_every_mistake():
    plan = PromptsStage(train=18).plan()
    assert plan.facts["prompts"] == 18
    assert set(plan.facts["kinds"].values()) == {2}
    with pytest.raises(ConfigError) as error:
        PromptsStage(train=1, test=1, kinds=("paragraphs",)).plan()
    assert len(error.value.mistakes) == 2
    with pytest.raises(ConfigError, match="no prompts are asked for"):
        load(PromptsStage, {"train": 0})


# --- grade


def test_grade_scores_every_completion_with_reasons(tmp_path):
    samples = _lower_case_prompts(4, TEXT, TEXT.lower(), "no")
    graded, scores, _ = _run(GradeStage(data=_file(tmp_path / "s.jsonl", samples)), tmp_path / "out")
    assert [[c.score for c in e.completions] for e in graded] == [[0.0, 1.0, 0.0]] * 4
    assert graded[0].completions[0].reasons == ("constraint: 'M' is a capital",)
    assert graded[0].completions[1].reasons == ()
    assert [e.id for e in graded] == [e.id for e in samples]
    assert scores["grader"] == "format"
    overall = scores["overall"]
    assert overall["pass_rate"] == pytest.approx(1 / 3)
    assert overall["count"] == 12
    assert 0 < overall["low"] < 1 / 3 < overall["high"] < 1
    assert scores["kinds"] == {"lower_case": overall}
    assert scores["held_out_kinds"] == {}


def test_held_out_kinds_are_counted_apart(tmp_path):
    samples = [
        replace(e, completions=(_completion("no"),))
        for split, count in (("test", 9), ("held_out_kinds", 3))
        for e in prompts(seed=0, count=count, split=split)
    ]
    _, scores, _ = _run(GradeStage(data=_file(tmp_path / "s.jsonl", samples)), tmp_path / "out")
    assert scores["overall"]["count"] == 9
    assert len(scores["kinds"]) == 9
    assert set(scores["held_out_kinds"]) == {"paragraphs", "upper_case", "word_times"}


class _Half:
    def grade(self, example, completion):
        return Grade(score=len(completion.text) / 2)


def test_scores_that_are_not_pass_or_fail_are_averaged(tmp_path, monkeypatch):
    entry = Entry(make=lambda _: _Half(), code=(_Half,))
    monkeypatch.setattr("burnish.graders.registry.GRADERS", {"half": entry})
    example = Example(id="x", prompt=(user("Hi"),), completions=(_completion("a"), _completion("abcd")))
    _, scores, said = _run(GradeStage(data=_file(tmp_path / "s.jsonl", [example]), grader="half"), tmp_path / "out")
    assert scores == {"grader": "half", "overall": {"mean_score": 1.25, "count": 2}}
    assert said == ["overall: mean_score 1.25, count 2"]


def test_graded_keeps_everything_but_score_and_reasons():
    sampled = replace(_completion("abc", score=9.0, reasons=("old",)), token_ids=(1,), logps=(-0.1,))
    example = Example(id="x", completions=(sampled,), columns={"a": 1})
    expected = replace(example, completions=(replace(sampled, score=1.5, reasons=()),))
    assert graded(_Half(), [example]).examples == [expected]


def test_grade_refuses_what_it_cannot_grade(tmp_path):
    bare = _file(tmp_path / "bare.jsonl", _lower_case_prompts(2, TEXT, request_only=True))
    with pytest.raises(DataError, match=r"example 'train-0-0' was asked its request alone"):
        GradeStage(data=bare).plan()
    plain = _file(tmp_path / "plain.jsonl", [Example(id="r1", prompt=(user("Hi"),), completions=(_completion("Ho"),))])
    for action in (GradeStage(data=plain).plan, lambda: _run(GradeStage(data=plain), tmp_path / "o")):
        with pytest.raises(GraderError, match=r"example 'r1' has no column 'constraint'"):
            action()
    with pytest.raises(ConfigError, match="did you mean 'format'"):
        GradeStage(data=plain, grader="formats").plan()


# --- repair


def test_repair_makes_one_demonstration_per_prompt_and_counts_the_rest(tmp_path):
    good, hopeless = _lower_case_prompts(2, "Nothing here.", TEXT)
    kept = _lower_case_prompts(3, TEXT.lower())[2]
    samples = [good, replace(hopeless, completions=(_completion("Nothing here."),)), kept]
    made, scores, said = _run(RepairStage(data=_file(tmp_path / "s.jsonl", samples)), tmp_path / "out")
    assert [e.id for e in made] == [good.id, kept.id]
    assert all(len(e.completions) == 1 and e.completions[0].score == 1.0 for e in made)
    assert made[0].completions[0].text == TEXT.format(topic=good.columns["topic"]).lower()
    counts = {"kept": 1, "repaired": 1, "dropped": 1}
    assert scores["kinds"] == {"lower_case": counts}
    assert {name: scores[name] for name in counts} == counts
    assert scores["made"] == 2
    assert said == ["2 demonstrations (1 samples kept as they are), 1 prompts dropped"]


def test_repair_gives_the_whole_prompt_back(tmp_path):
    samples = _lower_case_prompts(5, TEXT, request_only=True)
    made, _, _ = _run(RepairStage(data=_file(tmp_path / "s.jsonl", samples)), tmp_path / "out")
    assert [e.prompt for e in made] == [e.prompt for e in _lower_case_prompts(5)]


def test_each_setting_of_repair_changes_the_demonstrations(tmp_path):
    data = _file(tmp_path / "s.jsonl", _lower_case_prompts(3, TEXT, TEXT.lower() + " " + "they never tire of it. " * 4))
    base, _, _ = _run(RepairStage(data=data), tmp_path / "a")
    repaired, _, _ = _run(RepairStage(data=data, keep_passing=False), tmp_path / "b")
    short, _, _ = _run(RepairStage(data=data, max_words=20), tmp_path / "c")
    lengths = [[len(words(e.completions[0].text)) for e in made] for made in (base, repaired, short)]
    assert lengths[0] > lengths[1]
    assert base != short
    assert all(length <= 20 for length in lengths[2])


def test_repair_refuses_data_without_constraints_and_samples_without_use(tmp_path):
    plain = _file(tmp_path / "plain.jsonl", [Example(id="r1", prompt=(user("Hi"),), completions=(_completion("Ho"),))])
    with pytest.raises(GraderError, match="'r1'"):
        RepairStage(data=plain).plan()
    useless = _file(tmp_path / "useless.jsonl", _lower_case_prompts(3, "No."))
    with pytest.raises(DataError, match="no sample of 3 prompts can be repaired"):
        _run(RepairStage(data=useless), tmp_path / "o")
    assert not (tmp_path / "o" / "examples.jsonl").exists()


# --- pairs


def _graded(path, examples):
    _run(GradeStage(data=_file(path.with_suffix(".jsonl"), examples)), path)
    return str(path)


def test_pairs_are_made_of_graded_samples_and_the_rest_is_counted(tmp_path):
    mixed, tied, single, cut = _lower_case_prompts(4, TEXT, TEXT.lower())
    tied = replace(tied, completions=tied.completions[:1] * 2)
    single = replace(single, completions=single.completions[1:])
    cut = replace(cut, completions=(cut.completions[0], replace(cut.completions[1], finish="length")))
    unanswered = prompts(seed=9, count=1, split="train")
    data = _graded(tmp_path / "g", [mixed, tied, single, cut, *unanswered])
    pairs, scores, said = _run(PairsStage(data=data), tmp_path / "out")
    assert [e.id for e in pairs] == [mixed.id]
    assert [(c.rank, c.score) for c in pairs[0].completions] == [(0, 1.0), (1, 0.0)]
    assert pairs[0].completions[0].text == TEXT.format(topic=mixed.columns["topic"]).lower()
    assert {n: scores[n] for n in ("pairs", "paired", "repaired", "tied", "cut", "single", "unanswered")} == {
        "pairs": 1, "paired": 1, "repaired": 0, "tied": 1, "cut": 1, "single": 1, "unanswered": 1,
    }  # fmt: skip
    assert scores["words"]["chosen"] == scores["words"]["rejected"] > 10
    assert said == ["1 pairs of 1 prompts (0 with a repaired answer); skipped: 1 tied, 1 cut, 1 single, 1 unanswered"]
    assert PairsStage(data=data).plan().facts["pairs"] == 1


def test_fallback_repairs_where_no_sample_passes(tmp_path):
    hopeless, failing, passing = _lower_case_prompts(3, TEXT, TEXT.lower())
    failing = replace(failing, completions=(_completion("Nothing."), failing.completions[0]))
    hopeless = replace(hopeless, completions=(_completion("Nothing."), _completion("No.")))
    data = _graded(tmp_path / "g", [hopeless, failing, passing])
    pairs, scores, _ = _run(PairsStage(data=data, fallback="repair"), tmp_path / "out")
    assert [e.id for e in pairs] == [failing.id, passing.id]
    chosen, rejected = pairs[0].completions
    assert (chosen.rank, chosen.score, chosen.token_ids) == (0, 1.0, None)
    assert chosen.text == TEXT.format(topic=failing.columns["topic"]).lower()
    assert (rejected.rank, rejected.score) == (1, 0.0)
    assert (scores["repaired"], scores["paired"], scores["tied"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"pairs_per_prompt": 3},
        {"balance_length": False},
        {"allow_cut": True},
        {"fallback": "repair"},
        {"flip": 0.5},
        {"seed": 5},
    ],
)
def test_each_setting_of_pairs_changes_the_pairs(change, tmp_path):
    extra = " they never tire of it." * 3
    samples = _lower_case_prompts(
        12, TEXT, TEXT + extra, "No " + TEXT, TEXT.lower(), TEXT.lower() + extra, TEXT.lower()
    )
    cut = replace(
        samples[0], completions=(samples[0].completions[0], replace(samples[0].completions[3], finish="length"))
    )
    failing = replace(samples[1], completions=samples[1].completions[:2])
    data = _graded(tmp_path / "g", [cut, failing, *samples[2:]])
    base, _, _ = _run(PairsStage(data=data), tmp_path / "a")
    again, _, _ = _run(PairsStage(data=data), tmp_path / "b")
    changed, _, _ = _run(PairsStage(data=data, **change), tmp_path / "c")
    assert base == again
    assert base != changed


def test_pairs_can_be_turned_round_and_are_counted_and_read_back(tmp_path):
    data = _graded(tmp_path / "g", _lower_case_prompts(40, TEXT, TEXT.lower()))
    plain, _, _ = _run(PairsStage(data=data), tmp_path / "plain")
    pairs, scores, said = _run(PairsStage(data=data, flip=0.25), tmp_path / "out")
    turned = [pair for pair in pairs if "flipped" in pair.columns]
    assert 0 < len(turned) == scores["flipped"] < 20
    assert said[0].startswith(f"40 pairs of 40 prompts (0 with a repaired answer), {len(turned)} of them turned round;")
    assert all([c.score for c in pair.completions] == [0.0, 1.0] for pair in turned)
    assert [pair.id for pair in pairs] == [pair.id for pair in plain]
    assert sum(one != other for one, other in zip(pairs, plain, strict=True)) == len(turned)
    with pytest.raises(ConfigError, match="flip"):
        load(PairsStage, {"data": data, "flip": 0.6})


def test_pairs_refuse_ungraded_samples_and_data_without_a_pair(tmp_path):
    ungraded = _file(tmp_path / "s.jsonl", _lower_case_prompts(2, TEXT, TEXT.lower()))
    with pytest.raises(DataError, match=r"2 completion\(s\) without a score.*run `burnish grade` first"):
        PairsStage(data=ungraded).plan()
    tied = _graded(tmp_path / "g", _lower_case_prompts(2, TEXT, TEXT))
    with pytest.raises(DataError, match=r"2 prompts give no pair: .*2 tied"):
        _run(PairsStage(data=tied), tmp_path / "o")


# --- all of them


@pytest.mark.parametrize(
    ("stage", "inputs"),
    [(PromptsStage, set()), (GradeStage, {"data"}), (RepairStage, {"data"}), (PairsStage, {"data"})],
)
def test_inputs_are_marked_and_code_that_decides_the_result_is_named(stage, inputs):
    value = load(stage, dict.fromkeys(inputs, "somewhere"))
    assert set(sources(value)) == inputs
    assert value.code()
    assert (
        stage.verb == {PromptsStage: "prompts", GradeStage: "grade", RepairStage: "repair", PairsStage: "pairs"}[stage]
    )
