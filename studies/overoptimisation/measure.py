"""The record, the figure and the tables of the study, from what its recipe has published.

    python -m studies.overoptimisation.measure [--runs FOLDER] [--record FILE.json] [--figure FILE.svg]

From the root of the repository, after `burnish run studies/overoptimisation/study.yaml`. Writes
`docs/records/overoptimisation.json` and `docs/assets/overoptimisation.svg` if nothing else is given, and prints the
tables as Markdown. The same artefacts give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.evals.best_of_n import best_of_n_kl, expected_best, sizes
from burnish.example import Example, read_jsonl
from burnish.graders.learned import Combination, combined
from burnish.graders.words import words
from burnish.stages.evaluate_reward import MEMBER_SCORES
from burnish.stages.looks import LOOK
from burnish.stats import Interval, mean_interval
from burnish.synth.preferences import scores_of
from studies.overoptimisation.curves import (
    Curve,
    Point,
    at_kl,
    best_place,
    difference,
    fall,
    mean_curve,
    reach,
    stopped,
)
from studies.overoptimisation.figure import picture
from studies.overoptimisation.gold import MOST

SINGLE = "single"
"""The arm that the others are compared with."""

RL_ARMS = (SINGLE, "minimum", "kl")

Curves = dict[str, list[Point]]

Scores = Sequence[Sequence[float]]
"""A row for each prompt, with a number for each of its answers."""


def main() -> None:
    """Read, write, print."""
    parser = argparse.ArgumentParser(description="over-optimisation: the record, the figure and the tables")
    parser.add_argument("--runs", type=Path, default=Path("runs/overoptimisation"))
    parser.add_argument("--record", type=Path, default=Path("docs/records/overoptimisation.json"))
    parser.add_argument("--figure", type=Path, default=Path("docs/assets/overoptimisation.svg"))
    asked = parser.parse_args()
    record = measured(asked.runs)
    for path in (asked.record, asked.figure):
        path.parent.mkdir(parents=True, exist_ok=True)
    asked.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    picture(record).savefig(asked.figure, metadata={"Date": None} if asked.figure.suffix == ".svg" else None)
    sys.stdout.write(tables(record))


def measured(runs: Path) -> dict[str, Any]:
    """The record, as plain data."""
    best, proxies = best_of_n(runs / "best")
    rl = {arm: rl_curve(runs / "rl" / arm) for arm in RL_ARMS}
    return {
        "labels": labels(runs / "labels"),
        "proxies": proxies,
        "best_of_n": {name: _described(curve, best[SINGLE]) for name, curve in best.items()},
        "rl": {name: _described(curve, rl[SINGLE]) for name, curve in rl.items()},
    }


def labels(folder: Path) -> dict[str, float]:
    """How long the labelled answers are, and in how many pairs the longer one is the better by the gold score."""
    answers = [len(words(one.text)) for example in read_jsonl(folder / "answers.jsonl") for one in example.completions]
    pairs = [
        sorted(example.completions, key=lambda one: one.score or 0.0) for example in read_jsonl(folder / "pairs.jsonl")
    ]
    longer = [len(words(better.text)) > len(words(worse.text)) for worse, better in pairs]
    return {
        "answers": len(answers),
        "median_words": statistics.median(answers),
        "beyond_most": sum(count > MOST for count in answers) / len(answers),
        "pairs": len(pairs),
        "longer_is_better": sum(longer) / len(pairs),
    }


def best_of_n(folder: Path) -> tuple[Curves, list[dict[str, float]]]:
    """The curves of best-of-n by each way of choosing, and the figures of the proxies on the same answers.

    "single" is the mean over the proxies, each used alone.
    """
    golden = {example.id: example for example in read_jsonl(folder / "gold.jsonl")}
    judged = list(read_jsonl(folder / "proxies.jsonl"))
    gold = [scores_of(golden[example.id]) for example in judged]
    members = [_member_scores(example, golden[example.id]) for example in judged]
    lengths = [[float(len(words(one.text))) for one in example.completions] for example in judged]
    alone = [_curve([rows[k] for rows in members], gold, lengths) for k in range(len(members[0]))]
    curves = {SINGLE: mean_curve(alone)}
    for kind in ("mean", "minimum"):
        how = Combination(kind=kind)
        together = [[combined(one, how) for one in zip(*rows, strict=True)] for rows in members]
        curves[kind] = _curve(together, gold, lengths)
    accuracies = json.loads((folder / "proxies.json").read_text(encoding="utf-8"))["members"]
    figures = [
        {
            "accuracy": member["accuracy"]["accuracy"],
            "mean_score": statistics.fmean(score for rows in members for score in rows[k]),
        }
        for k, member in enumerate(accuracies)
    ]
    return curves, figures


def rl_curve(folder: Path) -> list[Point]:
    """The curve of a run's looks."""
    looks = [(int(path.stem), list(read_jsonl(path))) for path in sorted(folder.glob("*.jsonl"))]
    return [
        Point(
            at=update,
            kl=statistics.fmean(example.columns[LOOK]["log_ratio"] for example in examples),
            proxy=tuple(example.columns[LOOK]["reward"] for example in examples),
            gold=tuple(scores_of(example)[0] for example in examples),
            words=tuple(float(len(words(example.completions[0].text))) for example in examples),
        )
        for update, examples in looks
    ]


def tables(record: Mapping[str, Any]) -> str:
    """The record as Markdown."""
    found = []
    for name, title, at in (("best_of_n", "Best-of-n", "n"), ("rl", "RL", "update")):
        found += [f"### {title}", "", *_gold_table(record[name], at), "", *_against_table(record[name]), ""]
    return "\n".join(found)


def _gold_table(arms: Mapping[str, Any], at: str) -> list[str]:
    rows = [
        f"| arm | gold at the start | best: {at}, KL | gold there | last: {at}, KL, words | gold there | fall |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, arm in arms.items():
        start, best, last = (arm["points"][place] for place in (0, arm["best"], -1))
        cells = [name, _text(start["gold"])]
        cells += [f"{best['at']}, {best['kl']:.1f} nats", _text(best["gold"])]
        cells += [f"{last['at']}, {last['kl']:.1f} nats, {last['words']:.0f}", _text(last["gold"])]
        rows.append(f"| {' | '.join([*cells, _text(arm['fall'], sign=True)])} |")
    return rows


def _against_table(arms: Mapping[str, Any]) -> list[str]:
    rows = [f"| against {SINGLE} | gold at the end | gold at equal KL |", "|---|---|---|"]
    for name, arm in arms.items():
        if "against_single" in arm:
            other = arm["against_single"]
            equal = f"{_text(other['equal_kl'], sign=True)} at {other['kl']:.1f} nats"
            rows.append(f"| {name} | {_text(other['end'], sign=True)} | {equal} |")
    return rows


def _text(interval: Mapping[str, float], *, sign: bool = False) -> str:
    form = "+.2f" if sign else ".2f"
    numbers = [f"{interval[name]:{form}}".replace("-", "−") for name in ("estimate", "low", "high")]
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def _described(curve: Curve, single: Curve) -> dict[str, Any]:
    """A curve as it stands in the record."""
    stops, at_stop = stopped(curve)
    found: dict[str, Any] = {
        "points": [_point(point, curve[0]) for point in curve],
        "best": best_place(curve),
        "stops": list(stops),
        "stopped_less_start": _interval(difference(at_stop, curve[0].gold)),
        "fall": _interval(fall(curve)),
    }
    if curve is not single:
        kl = min(reach(curve), reach(single))
        found["against_single"] = {
            "end": _interval(difference(curve[-1].gold, single[-1].gold)),
            "kl": kl,
            "equal_kl": _interval(difference(at_kl(curve, kl), at_kl(single, kl))),
        }
    return found


def _point(point: Point, start: Point) -> dict[str, Any]:
    return {
        "at": point.at,
        "kl": point.kl,
        "gold": _interval(mean_interval(point.gold)),
        "gold_gain": _interval(difference(point.gold, start.gold)),
        "proxy_gain": _interval(difference(point.proxy, start.proxy)),
        "words": statistics.fmean(point.words),
    }


def _interval(found: Interval) -> dict[str, float]:
    return {"estimate": found.estimate, "low": found.low, "high": found.high, "count": found.count}


def _curve(proxy: Scores, gold: Scores, lengths: Scores) -> list[Point]:
    """Best-of-n for every n: what is expected of the best by the proxy, prompt by prompt."""
    keys = [[(score,) for score in row] for row in proxy]

    def expected(rows: Scores, n: int) -> tuple[float, ...]:
        return tuple(expected_best(key, row, n) for key, row in zip(keys, rows, strict=True))

    return [
        Point(at=n, kl=best_of_n_kl(n), proxy=expected(proxy, n), gold=expected(gold, n), words=expected(lengths, n))
        for n in sizes(len(gold[0]))
    ]


def _member_scores(example: Example, golden: Example) -> list[list[float]]:
    """The scores of the answers by each proxy; the answers are those of the gold scores.

    Raises:
        ValueError: they are others.
    """
    if [one.messages for one in example.completions] != [one.messages for one in golden.completions]:
        raise ValueError(f"example '{example.id}': the proxies judged other answers than the gold score")
    rows: list[list[float]] = [list(scores) for scores in example.columns[MEMBER_SCORES]]
    return [list(member) for member in zip(*rows, strict=True)]


if __name__ == "__main__":
    main()
