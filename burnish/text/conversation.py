"""A conversation laid out by a chat template, turn by turn.

For the assistant turn i the template renders the messages before it with the header of an answer, and again with the
answer; the first must begin the second, and what follows it is the turn. No border is searched for in text, and none
is found by encoding twice:

    context                                    | body     | end        | context           | body  | end
    ...<|im_end|>\\n<|im_start|>assistant\\n | An opal. | <|im_end|> | \\n<|im_start|>... | Blue. | <|im_end|>
    weight 0                                     weight of the message  weight 0            weight

Each run is encoded on its own, so training sees what sampling produced: the prompt up to the header, then the answer.
The template's text behind the last end (a newline) is left out, because nothing follows it.

Some templates render earlier turns anew once a later question is asked (they strip thinking from the history). Then
the text of the next turn does not begin with the text so far, and a new *path* begins there: turns that share their
past exactly stay together, and every path is what the model would have been given at that point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from burnish.errors import DataError, TemplateError, shown
from burnish.example import Completion, Example, Message
from burnish.text.layout import Path, Span, sampled, texts
from burnish.text.rendering import Renderer
from burnish.text.tokenizer import Encoder
from burnish.text.turns import Feature, Turn, TurnShape, after_header


class Conversation:
    """Layout by a chat template."""

    def __init__(self, renderer: Renderer, encoder: Encoder, shape: TurnShape, example: Example) -> None:
        self._renderer, self._encoder, self._shape = renderer, encoder, shape
        self._what = f"example '{example.id}'"
        shape.check(_features(example, renderer), what=self._what)
        self.mark = encoder.mark_for(list(texts(example)))
        self.tools = encoder.marked(list(example.tools), self.mark)

    def prompt(self, messages: Sequence[Message]) -> tuple[Span, ...]:
        """The messages and the header of an answer; assistant turns among them are runs of their own.

        A turn whose text the template changes once it is history stays part of the context.
        """
        whole = self.rendered(messages)
        spans: list[Span] = []
        done = ""
        for index in _assistant_turns(messages):
            try:
                header = self.rendered(messages[:index])
                turn = self._turn(header, messages[: index + 1])
            except TemplateError:  # nothing is learnt here, so the template need not be able to answer
                continue
            if header.startswith(done) and whole.startswith(header + turn.rendered):
                self._add(spans, "context", header[len(done) :])
                self._add_turn(spans, turn, weight=0.0)
                done = header + turn.rendered
        self._add(spans, "context", whole[len(done) :])
        return tuple(spans)

    def paths(self, prompt: Path, completion: Completion) -> list[Path]:
        """The assistant turns of `completion`, grouped by the past they share.

        Raises:
            DataError: the completion does not begin with an assistant turn.
            TemplateError: a turn cannot be told from its header.
        """
        roles = [message.role for message in completion.messages]
        if roles[:1] != ["assistant"]:
            raise DataError(
                f"{self._what}: a completion begins with {shown(roles[0]) if roles else 'nothing'}; expected an "
                "assistant message first, everything before it belongs to the prompt"
            )
        if completion.token_ids is not None:
            return [replace(prompt, branch=(sampled(completion, self._encoder, self._what),))]
        messages = prompt.messages + completion.messages
        paths: list[Path] = []
        branch: list[Span] = []
        done = ""
        for index in _assistant_turns(messages, start=len(prompt.messages)):
            header = self.rendered(messages[:index])
            if not branch:
                path, branch = prompt, list(prompt.prompt)
            elif header.startswith(done):
                self._add(branch, "context", header[len(done) :])
            else:
                paths.append(_closed(path, branch))
                path = Path(prompt=self.prompt(messages[:index]), branch=(), messages=())
                branch = list(path.prompt)
            path = replace(path, messages=messages[:index])
            turn = self._turn(header, messages[: index + 1])
            self._add_turn(branch, turn, weight=messages[index].weight)
            done = header + turn.rendered
        return [*paths, _closed(path, branch)]

    def renders(self, span: Span) -> bool:
        """Whether `span` stands in the template's own rendering; an end that the encoder adds does not."""
        return not (self._shape.adds_end and span.role == "assistant" and span.text == self._shape.end)

    def rendered(self, messages: Sequence[Message]) -> str:
        """The messages and the header of an answer as text, marks included."""
        chat = self._encoder.marked(self._renderer.dicts(messages, what=self._what), self.mark)
        return self._renderer.render(chat, self.tools, header=True, what=self._what)

    def _turn(self, header: str, messages: Sequence[Message]) -> Turn:
        """The last of `messages`, which `header` opens."""
        chat = self._encoder.marked(self._renderer.dicts(messages, what=self._what), self.mark)
        whole = self._renderer.render(chat, self.tools, header=False, what=self._what)
        rest = after_header(whole, header, what=self._what)
        return self._shape.turn(rest, self._renderer.visible(messages[-1]), what=self._what)

    def _add_turn(self, spans: list[Span], turn: Turn, *, weight: float) -> None:
        self._add(spans, "template", turn.lead)
        self._add(spans, "assistant", turn.body, weight)
        self._add(spans, "assistant", turn.end, weight)

    def _add(self, spans: list[Span], role: str, text: str, weight: float = 0.0) -> None:
        if text:
            after = spans[-1].text if spans else ""
            tokens = self._encoder.ids(text, after=after, mark=self.mark)
            spans.append(Span(role=role, text=text, tokens=tokens, weight=weight))


def _closed(path: Path, spans: Sequence[Span]) -> Path:
    return replace(path, branch=tuple(spans[len(path.prompt) :]))


def _assistant_turns(messages: Sequence[Message], start: int = 0) -> list[int]:
    return [index for index in range(start, len(messages)) if messages[index].role == "assistant"]


def _features(example: Example, renderer: Renderer) -> list[Feature]:
    """What the example uses that a template may leave out."""
    messages = [*example.prompt, *(message for c in example.completions for message in c.messages)]
    answers = [renderer.visible(message) for c in example.completions for message in c.messages]
    used: dict[Feature, bool] = {
        "system": any(message.role in ("system", "developer") for message in messages),
        "tools": bool(example.tools),
        "tool": any(message.role == "tool" for message in messages),
        "tool_calls": any(message.tool_calls for message in messages),
        "thinking": any(message.thinking for message in answers),
    }
    return [feature for feature, is_used in used.items() if is_used]
