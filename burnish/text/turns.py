"""What a chat template does around an assistant turn, found out once per template with placeholder answers.

    ... <|im_end|>\\n<|im_start|>assistant\\n | <think>\\n\\n</think>\\n\\n | An opal. | <|im_end|> | \\n
    header (belongs to the prompt)            lead                     body      end        tail

Two answers that share no character are rendered behind one question. What follows the header in both is common text,
the answer, common text: the *lead* in front of the answer, and the ending behind it, which is split into the *end*,
up to its first special token, and the *tail*. The model is taught body and end. The lead is the template's own and
carries no loss, except where the message itself has thinking: then all that follows the header is the model's to
write. A lead of white space alone belongs to the body, because the model has to write it ("[/INST] An opal").

A template without an ending gets the tokenizer's end token; one whose ending does not begin with a special token is
refused, because nothing would tell the model where to stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from burnish.errors import TemplateError, shown
from burnish.example import Message
from burnish.text.rendering import Chat, Renderer, Tools
from burnish.text.tokenizer import Encoder

_FIRST, _SECOND = "Qzvk", "Jwxu"  # no character in common, and none that a template would trim or escape
_QUESTION = {"role": "user", "content": "Which gem?"}

Feature = Literal["system", "tools", "tool", "tool_calls", "thinking"]

_WORDS: Mapping[Feature, str] = {
    "system": "system message",
    "tools": "list of tools",
    "tool": "tool message",
    "tool_calls": "tool call",
    "thinking": "thinking",
}


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One assistant turn as text.

    Attributes:
        lead, body, end: see the top of the file; all follow the header.
        rendered: the part of them that the template writes; the end is missing where the encoder adds it.
    """

    lead: str
    body: str
    end: str
    rendered: str


class TurnShape:
    """The lead, the ending and the think markers of one chat template, and what it leaves out.

    Args:
        renderer, encoder: the template and the tokenizer.
        tools: whether the template for conversations with tools is meant, where the tokenizer has two.

    Attributes:
        ending: template text behind the answer.
        end: what the model writes to end its turn: white space, if the template wants it, and one special token.
        adds_end: whether the encoder adds the end, the template having none.

    Raises:
        TemplateError: the template changes answers, or has no clear ending.
    """

    def __init__(self, renderer: Renderer, encoder: Encoder, *, tools: bool) -> None:
        self._renderer, self._encoder = renderer, encoder
        self._tools: Tools = [_tool("any")] if tools else []
        first, second = (self._answered({"content": answer}) for answer in (_FIRST, _SECOND))
        self.ending = _common(first[::-1], second[::-1])[::-1]
        if not first.endswith(_FIRST + self.ending):
            raise TemplateError(f"the chat template changes the answer {_FIRST!r}: it writes {shown(first)}")
        self.adds_end = not self.ending.strip()
        self.end = encoder.end_text if self.adds_end else self._first_special(self.ending)
        if not self.end:
            raise TemplateError(
                "the chat template writes nothing behind an answer and the tokenizer has no end token, so a model "
                "could not learn to stop; set the tokenizer's eos_token, or name another template"
            )

    @cached_property
    def gap(self) -> str:
        """All of the template's text between header and answer.

        Raises:
            TemplateError: the template does not write the header in front of a given answer.
        """
        return self._rest({"content": _FIRST}).removesuffix(_FIRST + self.ending)

    @cached_property
    def opening(self) -> str:
        """The gap, "" where it cannot be told."""
        try:
            return self.gap
        except TemplateError:
            return ""

    @property
    def lead(self) -> str:
        """The gap, if it is more than white space, else ""."""
        return self.gap if self.gap.strip() else ""

    def _render(self, chat: Chat, *, header: bool) -> str:
        return self._renderer.render(chat, self._tools, header=header, what="a plain question")

    def _answered(self, answer: Mapping[str, Any]) -> str:
        return self._render([_QUESTION, {"role": "assistant", **answer}], header=False)

    def _rest(self, answer: Mapping[str, Any]) -> str:
        """What the template writes behind the header for an answer."""
        return after_header(self._answered(answer), self._render([_QUESTION], header=True), what="a plain question")

    def _first_special(self, ending: str) -> str:
        blank = ending[: len(ending) - len(ending.lstrip())]
        found = self._encoder.first_token(ending.lstrip())
        if found:
            return blank + found
        end = self._encoder.end_text
        raise TemplateError(
            f"the chat template ends an assistant turn with {shown(ending)}, which does not begin with a special token "
            "of this tokenizer, so it is not clear where the model should stop. Add that token to the tokenizer, or "
            f"name a template that ends turns with {end!r}"
        )

    def turn(self, rest: str, message: Message, *, what: str) -> Turn:
        """Split what the template writes behind the header for `message`.

        Raises:
            TemplateError: the ending is not the one that the template writes elsewhere.
        """
        inner, end = self._without_ending(rest, message, what)
        lead = self.lead if not message.thinking and inner.startswith(self.lead) else ""
        rendered = inner if self.adds_end else inner + end
        return Turn(lead=lead, body=inner[len(lead) :], end=end, rendered=rendered)

    def _without_ending(self, rest: str, message: Message, what: str) -> tuple[str, str]:
        if rest.endswith(self.ending):
            return rest[: len(rest) - len(self.ending)], self.end
        # Tool calls may end otherwise (Llama 3.1: <|eom_id|>). Special tokens in the message itself are marked, so the
        # last one that stands unbroken is the template's.
        specials = list(self._encoder.controls.finditer(rest)) if message.tool_calls else []
        if specials:
            return rest[: specials[-1].start()], specials[-1][0]
        raise TemplateError(
            f"{what}: the chat template ends this assistant turn with {shown(rest[-40:])}, others with "
            f"{shown(self.ending)}; name a template that ends every turn alike"
        )

    @cached_property
    def stops(self) -> tuple[str, ...]:
        """The special tokens that end an assistant turn, tool calls included."""
        found = [self.end.strip()]
        call = Message(role="assistant", content="", tool_calls=(_call(_FIRST),))
        if self.leaves_out("tool_calls"):
            return tuple(found)
        try:
            rest = self._rest({"content": "", "tool_calls": [_call(_FIRST)]})
            found.append(self.turn(rest, call, what="a tool call").end.strip())
        except TemplateError:  # the template has no tool calls; an example that has some is told so
            pass
        return tuple(dict.fromkeys(found))

    @cached_property
    def think_markers(self) -> tuple[str, str] | None:
        """What the template writes before and behind thinking, stripped; None if it knows no thinking.

        The first is "" where the header holds the marker already.
        """
        thinking = {"content": _SECOND, "reasoning_content": _FIRST, "thinking": _FIRST}
        try:
            rest = self._rest(thinking)
        except TemplateError:  # the header closes thinking already, or the template refuses it
            return None
        before, found, behind = rest.partition(_FIRST)
        between, answered, _ = behind.partition(_SECOND)
        if not found or not answered or not between.strip():
            return None
        return before.strip(), between.strip()

    def check(self, features: Sequence[Feature], *, what: str) -> None:
        """Refuse an example that uses something which the template silently leaves out.

        Raises:
            TemplateError: names the feature.
        """
        for feature in features:
            if self.leaves_out(feature):
                drop = " (or set 'thinking' to drop)" if feature == "thinking" else ""
                raise TemplateError(
                    f"{what} has a {_WORDS[feature]}, and the chat template leaves it out without a word, so the model "
                    f"would never see it; name a template that writes it in the setting 'template'{drop}"
                )

    def leaves_out(self, feature: Feature) -> bool:
        """Whether the template renders a conversation with `feature` as if it were not there."""
        if feature not in self._left_out:
            chat, tools = _probe(feature)
            try:
                text = self._renderer.render(chat, tools or self._tools, header=False, what="a probe")
                self._left_out[feature] = _FIRST not in text
            except TemplateError:  # not silent: rendering the example itself will say why
                self._left_out[feature] = False
        return self._left_out[feature]

    @cached_property
    def _left_out(self) -> dict[Feature, bool]:
        return {}


def after_header(whole: str, header: str, *, what: str) -> str:
    """What follows `header` in `whole`.

    Raises:
        TemplateError: `whole` does not begin with `header`.
    """
    if whole.startswith(header):
        return whole[len(header) :]
    common = len(_common(whole, header))
    raise TemplateError(
        f"{what}: the chat template opens an assistant turn with {shown(header[common:])} when the model is to answer, "
        f"but writes {shown(whole[common : common + 40])} there when the answer is given, so training would not see "
        "what sampling produces. Name a template that writes both alike in the setting 'template'"
    )


def _common(one: str, other: str) -> str:
    """The longest text that both begin with."""
    length = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _probe(feature: Feature) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """A conversation, and tools, in which the placeholder stands only where `feature` puts it."""
    called = {"role": "assistant", "content": "", "tool_calls": [_call("any")]}
    thought = {"role": "assistant", "content": _SECOND, "reasoning_content": _FIRST, "thinking": _FIRST}
    if feature == "system":
        return [{"role": "system", "content": _FIRST}, _QUESTION], []
    if feature == "tools":
        return [_QUESTION], [_tool(_FIRST)]
    if feature == "tool_calls":
        return [_QUESTION, {**called, "tool_calls": [_call(_FIRST)]}], []
    if feature == "thinking":
        return [_QUESTION, thought], []
    return [_QUESTION, called, {"role": "tool", "content": _FIRST, "tool_call_id": "call00000", "name": "any"}], []


def _call(name: str) -> dict[str, Any]:
    # Nine characters: the shortest identifier that every template family takes.
    return {"id": "call00000", "type": "function", "function": {"name": name, "arguments": {"gem": "any"}}}


def _tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"gem": {"type": "string", "description": "a gem"}}, "required": []}
    return {"type": "function", "function": {"name": name, "description": "looks up a gem", "parameters": parameters}}
