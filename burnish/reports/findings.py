"""What was found, in plain sentences: gains with their intervals, and "no difference" said as plainly as a gain.

A difference counts as found when its 95% interval excludes 0. Nothing here looks for the most flattering comparison:
the comparisons are fixed by `evaluations.comparisons`, and each gets its sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from burnish.reports.evaluations import HELD_OUT_KINDS, TEST, Evaluation, comparisons, gain, rate
from burnish.reports.scale import number_of, percent, plain, points
from burnish.stats import Interval


def findings(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """A sentence for every comparison, on the test prompts, kind by kind, and on the kinds held out of training."""
    pairs = comparisons(evaluations)
    sentences = [_sentence(before, after, TEST, "On the test prompts") for before, after in pairs]
    if len(evaluations) > 1:
        sentences.append(_kinds_sentence(evaluations[0], evaluations[-1]))
    if any(e.kinds(HELD_OUT_KINDS) for e in evaluations):
        sentences += [
            _sentence(before, after, HELD_OUT_KINDS, "On kinds held out of training") for before, after in pairs
        ]
    if len(evaluations) == 1:
        only = evaluations[0]
        sentences.append(f"{_rate_text(rate(only.of(TEST)))} of the answers of {only.name} pass.")
    return tuple(sentence for sentence in sentences if sentence)


def gain_text(interval: Interval) -> str:
    """A gain with its interval, in percentage points."""
    return f"{points(interval.estimate)} points (95% interval {points(interval.low)} to {points(interval.high)})"


def found(interval: Interval) -> str:
    """One of "better", "worse", "no clear difference"."""
    if not interval.excludes_zero:
        return "no clear difference"
    return "better" if interval.estimate > 0 else "worse"


def _sentence(before: Evaluation, after: Evaluation, split: str, opening: str) -> str:
    interval = gain(before.of(split), after.of(split))
    if interval is None:
        return f"{opening}, {after.name} and {before.name} share no prompt, so no gain can be stated."
    rates = f"{percent(rate(after.of(split)).estimate)} against {percent(rate(before.of(split)).estimate)}"
    verdict = found(interval)
    if verdict == "no clear difference":
        said = f"no difference between {after.name} and {before.name} was found: {rates} pass"
    else:
        said = f"{after.name} is {verdict} than {before.name}: {rates} of the answers pass"
    return f"{opening}, {said}, {gain_text(interval)}."


def _kinds_sentence(first: Evaluation, last: Evaluation) -> str:
    verdicts: dict[str, list[str]] = {"better": [], "worse": [], "no clear difference": []}
    for kind in last.kinds(TEST):
        if interval := gain(first.of(TEST, kind), last.of(TEST, kind)):
            verdicts[found(interval)].append(kind)
    total = sum(len(kinds) for kinds in verdicts.values())
    if total < 2:
        return ""
    worse = f" ({', '.join(verdicts['worse'])})" if verdicts["worse"] else ""
    return (
        f"Of {total} kinds, from {first.name} to {last.name}: {len(verdicts['better'])} better, "
        f"{len(verdicts['worse'])} worse{worse}, {len(verdicts['no clear difference'])} without a clear difference "
        f"(each by its own 95% interval, so about one in twenty may err)."
    )


def _rate_text(interval: Interval) -> str:
    return f"{percent(interval.estimate)} (95% interval {percent(interval.low)} to {percent(interval.high)})"


def answer_notes(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    """Notes on answers that became much longer or shorter, or much less likely under the reference model."""
    if len(evaluations) < 2:
        return
    first = evaluations[0]
    for later in evaluations[1:]:
        old, new = _figure(first, "length_tokens"), _figure(later, "length_tokens")
        if old and new and not 2 / 3 <= new / old <= 1.5:
            yield (
                f"Answers of {later.name} have {plain(new)} tokens on average, {plain(old)} at {first.name}: "
                "part of a gain may come from the length alone."
            )
        old, new = _figure(first, "reference_logp_per_token"), _figure(later, "reference_logp_per_token")
        if old and new and new - old < -1.0:
            yield (
                f"Under the reference model an answer of {later.name} has {plain(new)} nats per token, one of "
                f"{first.name} {plain(old)}: the model has moved far."
            )


def _figure(evaluation: Evaluation, name: str) -> float | None:
    interval = evaluation.figures.get(name)
    return interval.estimate if interval else None


def overall_line(evaluations: Sequence[Evaluation]) -> str:
    """How much the rates stand on."""
    counts = {len(e.of(TEST)) for e in evaluations}
    prompts = {a.prompt_id for e in evaluations for a in e.of(TEST)}
    answers = " or ".join(f"{count:,}" for count in sorted(counts))
    return f"{answers} graded answers per model, to {number_of(len(prompts), 'test prompt')}"
