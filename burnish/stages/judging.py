"""A judge by its settings: `--grader judge --judge.url http://localhost:8000/v1 --judge.model NAME`.

    without a baseline   1 to 10 points for each answer; with a pass mark they become 1 or 0, so there is a pass rate
    with a baseline      the better of the answer and the baseline's answer to the same prompt, asked in both orders

What the judge replied is kept in `judge.part.jsonl` while the stage runs, so a killed run does not ask again. A stage
may have two judges, as online training has one for the reward and one for the looks; each keeps a file of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from burnish.config import setting, settings
from burnish.errors import ConfigError, GraderError
from burnish.example import Example
from burnish.graders.asking import Asker
from burnish.graders.judge import JUDGING, PairwiseJudge, PointwiseJudge
from burnish.graders.registry import WEIGHTED, Grading
from burnish.graders.wording import PAIRWISE, POINTWISE, RUBRIC, Wording, shown_messages
from burnish.protocols import Decoding, Grader
from burnish.sampling.chat_completions import Reply
from burnish.sampling.endpoint import Endpoint
from burnish.sampling.journal import Journal
from burnish.sampling.remote import RemoteEngine
from burnish.stages.artefact import answered_in
from burnish.stages.stage import Work

JUDGE = "judge"
"""The name under which a judge is chosen."""


def journal_of(out: Path, name: str = JUDGE) -> Path:
    """What the judge of that name replied so far, in the folder of a running stage."""
    return out / f"{name}.part.jsonl"


@settings
class Judge(Endpoint):
    """A language model behind an endpoint, as a grader."""

    rubric: str = setting(RUBRIC, "what makes a good answer", min_length=1)
    pass_mark: int | None = setting(None, "points that pass: scores are then 1 or 0", ge=1, le=10)
    baseline: str | None = setting(
        None, "answers to compare with, a run's folder or a file: each prompt's first one", source=True
    )
    wording: Wording | None = setting(None, "templates in place of the built-in ones")
    reply_temperature: float = setting(JUDGING.temperature, "of the judge's replies", ge=0)
    reply_tokens: int = setting(JUDGING.max_tokens, "longest reply of the judge", unit="tokens", ge=1)
    asks: int = setting(3, "of one question, reminders included, before the judge has failed", ge=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.baseline is not None and self.pass_mark is not None:
            raise ValueError("pass_mark is for points, and with a baseline there are none; leave one of the two out")
        fault = self.wording.fault("pointwise" if self.baseline is None else "pairwise") if self.wording else None
        if fault is not None:
            raise ValueError(fault)

    def grader(self, journal: Journal | None = None) -> PointwiseJudge | PairwiseJudge:
        """The judge, asking its endpoint.

        Raises:
            ConfigError: the variable for the key is not set.
            DataError: the baseline cannot be read, or has no answers.
        """
        engine = RemoteEngine(self, journal=journal)
        decoding = Decoding(temperature=self.reply_temperature, max_tokens=self.reply_tokens)
        if self.baseline is None:
            return PointwiseJudge(
                engine,
                rubric=self.rubric,
                pass_mark=self.pass_mark,
                wording=self.wording or POINTWISE,
                decoding=decoding,
                asks=self.asks,
            )
        return PairwiseJudge(
            engine,
            baseline=_baseline(self.baseline),
            rubric=self.rubric,
            wording=self.wording or PAIRWISE,
            decoding=decoding,
            asks=self.asks,
        )


def wants_judge(grader: str, grading: Grading) -> bool:
    """Whether the judge is the grader that is named, or a part of it."""
    return JUDGE in (grading.weights or ()) if grader == WEIGHTED else grader == JUDGE


def judge_among(
    grader: str, grading: Grading, judge: Judge | None, work: Work | None = None, name: str = JUDGE
) -> Mapping[str, Grader]:
    """The judge under its name, if it is wanted: what `grader_named` takes as `also`.

    Args:
        grader: the name that the user chose.
        grading: whose weights may name the judge too.
        judge: its settings.
        work: of the running stage, where the journal is kept and the version of the wording is recorded; None only
            to check.
        name: of its journal and its record, where a stage has two judges.

    Raises:
        ConfigError: the judge is wanted and has no settings, or the other way round.
        EndpointError: the endpoint cannot be reached, or refuses the key.
        DataError: the baseline cannot be read.
    """
    wanted = wants_judge(grader, grading)
    if wanted and judge is None:
        raise ConfigError([f"the grader '{JUDGE}' needs an endpoint; type --judge.url URL --judge.model NAME"])
    if judge is None:
        return {}
    if not wanted:
        raise ConfigError([f"settings of a judge are given, and the grader is '{grader}'; type --grader {JUDGE}"])
    RemoteEngine(judge).offered()  # a wrong URL or key is told before any work
    if work is None:
        return {JUDGE: judge.grader()}
    made = judge.grader(Journal(journal_of(work.out, name), resume=work.resume))
    work.record({name: {"wording": made.version}})
    return {JUDGE: made}


def judge_code(judge: Judge | None) -> tuple[type, ...]:
    """What decides a judge's verdict, for `Stage.code()`; nothing without a judge."""
    return (PointwiseJudge, Asker, Wording, Endpoint, RemoteEngine, Reply) if judge is not None else ()


def judge_done(work: Work, name: str = JUDGE) -> None:
    """Remove what a judge replied while the stage ran; its reasons are in the graded examples."""
    journal_of(work.out, name).unlink(missing_ok=True)


def _baseline(source: str) -> Callable[[Example], str]:
    """The first answer to each prompt in `source`, by the example's id."""
    answers = {one.id: shown_messages(one.completions[0].messages) for one in answered_in(source) if one.completions}

    def answer(example: Example) -> str:
        if example.id not in answers:
            raise GraderError(
                f"the baseline {source} has no answer to example '{example.id}'; expected answers to the same prompts, "
                "such as those of `burnish sample` or `burnish evaluate` on the same data"
            )
        return answers[example.id]

    return answer
