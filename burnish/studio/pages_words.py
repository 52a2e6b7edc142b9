"""A judgement in words, for a person's own work and for reviewers; answers are numbered from 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_STRENGTHS: Mapping[int, str] = {1: "slightly", 2: "clearly", 3: "much", 4: "very much", 5: "entirely"}
_VERDICTS: Mapping[str, str] = {"accept": "Accepted", "edit": "Accepted with edits", "reject": "Rejected"}


def said(content: Mapping[str, Any]) -> list[str]:
    """What a content says, one line each, comment last."""
    lines = [line for name, words in _WORDS.items() if name in content for line in words(content)]
    return [*lines, *([f"Comment: {content['comment']}"] if content.get("comment") else [])]


def _better(content: Mapping[str, Any]) -> list[str]:
    if content["better"] is None:
        return ["A tie"]
    strength = content.get("strength")
    how = "" if strength is None else f"{_STRENGTHS[strength]} "
    return [f"Answer {content['better'] + 1} is {how}better"]


def _ranks(content: Mapping[str, Any]) -> list[str]:
    levels = sorted(set(content["ranks"]))
    named = [[str(place + 1) for place, rank in enumerate(content["ranks"]) if rank == level] for level in levels]
    return ["Best to worst: " + ", then ".join(" = ".join(level) for level in named)]


def _scores(content: Mapping[str, Any]) -> list[str]:
    return [
        f"Answer {place + 1}: " + ", ".join(f"{scale} {score}" for scale, score in scores.items())
        for place, scores in enumerate(content["scores"])
    ]


def _good(content: Mapping[str, Any]) -> list[str]:
    return ["Good" if content["good"] else "Not good"]


def _spans(content: Mapping[str, Any]) -> list[str]:
    if not content["spans"]:
        return ["Nothing stands out"]
    return [
        f"Answer {span['answer'] + 1}, characters {span['start']} to {span['end']}: {span['label']}"
        + (f" ({span['comment']})" if span.get("comment") else "")
        for span in content["spans"]
    ]


def _verdict(content: Mapping[str, Any]) -> list[str]:
    reasons = ", ".join(content.get("reasons", ()))
    return [_VERDICTS[content["verdict"]] + (f": {reasons}" if reasons else "")]


def _text(content: Mapping[str, Any]) -> list[str]:
    return [content["text"]] if content["text"] else []


_WORDS = {
    "better": _better,
    "ranks": _ranks,
    "scores": _scores,
    "good": _good,
    "spans": _spans,
    "verdict": _verdict,
    "text": _text,
}
