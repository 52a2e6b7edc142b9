"""What a judgement holds, for each kind of work: checked when it comes in, and kept by the item's own order of answers.

The browser knows answers by their place on the person's screen. `order[place]` is the answer that stood there, and
`stored` puts a content into the item's order, `shown` back into the screen's:

    order          [2, 0, 1]        the third answer of the item stood first on the screen
    ranks, shown   [0, 1, 1]        the first on the screen is the best
    ranks, stored  [1, 1, 0]        so the item's third answer is the best

Texts may not hold NUL or half of a surrogate pair: PostgreSQL and UTF-8 cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, Field

from burnish.studio.options import Options
from burnish.studio.refusals import Invalid


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is judged, as far as a content's check needs it.

    Attributes:
        lengths: of each answer in the item's order, in code points.
        limits: the project's options.
    """

    lengths: tuple[int, ...]
    limits: Options


def legible(text: str) -> str:
    """The text, if both engines can keep it.

    Raises:
        ValueError: it holds NUL or half of a surrogate pair.
    """
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("a text may not hold the character NUL or half of a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(legible)]
_LONGEST_COMMENT = 4000


class Content(pydantic.BaseModel):
    """What every judgement may hold."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    comment: Text = Field("", max_length=_LONGEST_COMMENT)

    def misfit(self, count: int) -> str:
        """What is wrong with it for an item of `count` answers, "" if nothing; asked before it is moved."""
        return ""

    def moved(self, order: Sequence[int]) -> Self:
        """The same with the answer at place i called `order[i]`."""
        return self

    def mistake(self, work: Work) -> str:
        """What else is wrong with it for this work, "" if nothing; asked in the item's order."""
        return ""


class Writing(Content):
    """A prompt or an answer that somebody wrote."""

    text: Text

    def mistake(self, work: Work) -> str:
        """Empty or too long."""
        if not self.text.strip():
            return "text: found nothing; write something, or skip the item"
        return _too_long(self.text, work)


class Review(Content):
    """What somebody thinks of a prompt; with "edit" the text that they propose."""

    verdict: Literal["accept", "edit", "reject"]
    text: Text | None = None
    reasons: tuple[Annotated[Text, Field(max_length=200)], ...] = Field((), max_length=20, strict=False)

    def mistake(self, work: Work) -> str:
        """A text without an edit, or an edit without a text."""
        if (self.verdict == "edit") != (self.text is not None and bool(self.text.strip())):
            return f"text: the verdict '{self.verdict}' goes {'with' if self.verdict == 'edit' else 'without'} a text"
        return _too_long(self.text or "", work)


class Comparison(Content):
    """Which of two answers is better; None is a tie."""

    better: Annotated[int, Field(ge=0, le=1)] | None
    strength: Annotated[int, Field(ge=1, le=5)] | None = None

    def mistake(self, work: Work) -> str:
        """A tie where none is allowed, or a strength that does not fit."""
        strengths = work.limits.strengths
        if self.better is None:
            if not work.limits.ties:
                return "better: this project knows no ties; choose one of the two"
            return "strength: a tie has none" if self.strength is not None else ""
        if strengths == 1:
            return "strength: this project asks for none" if self.strength is not None else ""
        if self.strength is None or self.strength > strengths:
            return f"strength: found {self.strength}; expected 1 to {strengths}"
        return ""

    def moved(self, order: Sequence[int]) -> Self:
        """See `Content`."""
        return self if self.better is None else self.model_copy(update={"better": order[self.better]})


class Ranking(Content):
    """The rank of each answer: 0 is best, equal ranks are ties, and no rank is left out."""

    ranks: tuple[Annotated[int, Field(ge=0, le=19)], ...] = Field(strict=False)

    def misfit(self, count: int) -> str:
        """Another number of ranks than answers, or a gap."""
        if len(self.ranks) != count:
            return f"ranks: found {len(self.ranks)} for {count} answers; expected one each"
        if set(self.ranks) != set(range(len(set(self.ranks)))):
            return f"ranks: found {list(self.ranks)}; expected every rank from 0 to the highest"
        return ""

    def moved(self, order: Sequence[int]) -> Self:
        """See `Content`."""
        return self.model_copy(update={"ranks": _moved(self.ranks, order)})


class Rating(Content):
    """For each answer a score on every scale of the project."""

    scores: tuple[Mapping[str, Annotated[int, Field(ge=1)]], ...] = Field(strict=False)

    def misfit(self, count: int) -> str:
        """Scores of more or fewer answers than there are."""
        if len(self.scores) != count:
            return f"scores: found {len(self.scores)} for {count} answers; expected one each"
        return ""

    def mistake(self, work: Work) -> str:
        """A score too many, too few or out of range."""
        for place, scores in enumerate(self.scores):
            if set(scores) != set(work.limits.scales):
                return f"scores[{place}]: found {', '.join(scores)}; expected {', '.join(work.limits.scales)}"
            if any(score > work.limits.highest for score in scores.values()):
                return f"scores[{place}]: expected numbers from 1 to {work.limits.highest}"
        return ""

    def moved(self, order: Sequence[int]) -> Self:
        """See `Content`."""
        return self.model_copy(update={"scores": _moved(self.scores, order)})


class Thumb(Content):
    """Whether the answer is good."""

    good: bool


class Mark(pydantic.BaseModel):
    """A part of an answer: code points from `start` to before `end`."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)

    answer: int = Field(ge=0, le=19)
    start: int = Field(ge=0)
    end: int
    label: Text
    comment: Text = Field("", max_length=_LONGEST_COMMENT)


class Marks(Content):
    """Parts of answers, each with a label; none says that nothing stands out."""

    spans: tuple[Mark, ...] = Field(max_length=500, strict=False)

    def misfit(self, count: int) -> str:
        """A span of an answer that is not there."""
        wrong = [span.answer for span in self.spans if span.answer >= count]
        return f"spans: found answer {wrong[0]}; the item has {count}" if wrong else ""

    def mistake(self, work: Work) -> str:
        """A span outside of its answer, or with another label than the project's."""
        for place, span in enumerate(self.spans):
            if not span.start < span.end <= work.lengths[span.answer]:
                return (
                    f"spans[{place}]: found {span.start} to {span.end}; expected a part of the answer's "
                    f"{work.lengths[span.answer]} characters"
                )
            if span.label not in work.limits.labels:
                return f"spans[{place}].label: found '{span.label}'; expected one of {', '.join(work.limits.labels)}"
        return ""

    def moved(self, order: Sequence[int]) -> Self:
        """See `Content`."""
        spans = tuple(span.model_copy(update={"answer": order[span.answer]}) for span in self.spans)
        return self.model_copy(update={"spans": spans})


def stored(kind: type[Content], data: Mapping[str, Any], order: Sequence[int], work: Work) -> dict[str, Any]:
    """A content as the browser sent it, checked, in the item's order.

    Raises:
        Invalid: it is not what this kind and this item ask for.
    """
    content = _read(kind, data)
    if mistake := content.misfit(len(order)) or content.moved(order).mistake(work):
        raise Invalid("content", mistake)
    return _plain(content.moved(order))


def shown(kind: type[Content], content: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """A stored content as the person saw it."""
    places = [list(order).index(answer) for answer in range(len(order))]
    return _plain(_read(kind, content).moved(places))


def _read(kind: type[Content], data: Mapping[str, Any]) -> Content:
    try:
        return kind.model_validate(dict(data))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "content"
        raise Invalid("content", f"{place}: {first['msg']}") from error


def _plain(content: Content) -> dict[str, Any]:
    return content.model_dump(mode="json", exclude_defaults=True)


def _moved(values: Sequence[Any], order: Sequence[int]) -> tuple[Any, ...]:
    by_answer = dict(zip(order, values, strict=True))
    return tuple(by_answer[answer] for answer in range(len(order)))


def _too_long(text: str, work: Work) -> str:
    if len(text) > work.limits.longest:
        return f"text: found {len(text)} characters; at most {work.limits.longest} are allowed"
    return ""
