"""Chat text: examples to trees of tokens, prompts to sample from, and sampled tokens back to messages.

What this promises; the numbers are those of the tests (`test_pain_01_...`) that hold it:

    1   loss masks come from message borders; a row without a supervised token is an error that names it
    2   the token that ends an assistant turn is supervised, whatever the padding token is
    3   `hash` names template, special tokens and vocabulary; `check_same` refuses another one
    4   a template that renders history anew is noticed, and its turns become trees of their own
    5   no border is searched for in text
    6   exactly one begin token
    14  sampled token ids are used as they are

The parts: `rendering.py` runs the template, `turns.py` knows what it does around an answer, `tokenizer.py` encodes,
`conversation.py` and `layout.py` put spans together, `roles.py` tells roles apart for people, `truncate.py` cuts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property

from transformers import PreTrainedTokenizerFast

from burnish.batch import Branch, Tree
from burnish.errors import DataError, TemplateError
from burnish.example import Completion, Example, Message
from burnish.text.conversation import Conversation
from burnish.text.layout import Layout, Path, PlainText, Span
from burnish.text.rendering import Renderer, TemplateSettings
from burnish.text.roles import told_apart
from burnish.text.tokenizer import Encoder
from burnish.text.turns import TurnShape


class ChatText:
    """A tokenizer with its chat template.

    Args:
        tokenizer: a fast tokenizer; not changed.
        options: another template, values for its switches, the date it sees, what becomes of thinking.

    Raises:
        TemplateError: the tokenizer is not a fast one, or the template cannot be read.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, options: TemplateSettings | None = None) -> None:
        self._encoder = Encoder(tokenizer)
        self._renderer = Renderer(tokenizer, options or TemplateSettings())
        self._shapes: dict[bool, TurnShape] = {}
        if self._encoder.adds_begin and self._renderer.has_template:
            question = [{"role": "user", "content": "?"}]
            text = self._renderer.render(question, [], header=True, what="a plain question")
            if not text.startswith(self._encoder.begin_text):
                self._renderer.add_begin()

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer to save with the model; it carries the template as the settings changed it."""
        return self._renderer.tokenizer

    @property
    def begin_token(self) -> int | None:
        """The id of the begin token, None if the tokenizer has none."""
        return self._encoder.begin

    @cached_property
    def hash(self) -> str:
        """sha256 of the template, the special tokens and the vocabulary; the same in every process. Hex."""
        facts = [self._renderer.key, self._encoder.begin_text, self._encoder.end_text, self._encoder.digest]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def check_same(self, other_hash: str, *, other: str) -> None:
        """Refuse to go on with a model or data made with another template.

        Args:
            other_hash: the hash that was recorded.
            other: what it was recorded with, such as a folder.

        Raises:
            TemplateError: names both hashes.
        """
        if other_hash != self.hash:
            raise TemplateError(
                f"{other} was made with the chat text {other_hash}, this is {self.hash}: the template, a special token "
                f"or the vocabulary differs. Use the tokenizer saved with {other}, and the same template settings"
            )

    @cached_property
    def stop_tokens(self) -> tuple[int, ...]:
        """Ids that end an assistant turn: the template's own, and the tokenizer's end token.

        Raises:
            TemplateError: the template's ending is not clear.
        """
        texts = [*self._shape(tools=False).stops] if self._renderer.has_template else []
        ids = [self._encoder.ids(text)[-1] for text in texts]
        if self._encoder.end is not None:
            ids.append(self._encoder.end)
        return tuple(dict.fromkeys(ids))

    @cached_property
    def header(self) -> tuple[int, ...]:
        """Token ids of the header of an answer with nothing in front but a begin token, where the template writes one.

        Raises:
            TemplateError: the template writes no header between a question and its answer, or there is none.
        """
        what, question = "a plain question", [{"role": "user", "content": "?"}]
        bare, asked = (self._renderer.render(question, [], header=header, what=what) for header in (False, True))
        text, begin = asked.removeprefix(bare), self._encoder.begin_text
        if text == asked or not text.strip():
            raise TemplateError(
                "the chat template writes no header in front of an answer, so a response cannot be learned behind the "
                "header alone; set conditioning to empty_turn, or name another template"
            )
        first = begin if begin and asked.startswith(begin) and not text.startswith(begin) else ""
        return self._encoder.ids(first + text)

    def prompt(self, example: Example) -> tuple[int, ...]:
        """Token ids of the prompt with the header of an answer: what sampling starts from, and `Tree.prompt`.

        Raises:
            TemplateError: the template refuses the messages.
        """
        return self._prompt_tokens(self._layout(example).prompt(example.prompt), example)

    def trees(self, example: Example) -> list[Tree]:
        """The example as trees: one, or several where the template renders history anew.

        Raises:
            TemplateError: the template refuses the messages, or breaks a promise.
            DataError: the example has nothing to train on.
        """
        paths = self._paths(example)
        if any(len(of_completion) > 1 for of_completion in paths):
            return self._split_trees(example, paths)
        branches = tuple(
            _branch(path, completion, _shared_columns(example))
            for (path,), completion in zip(paths, example.completions, strict=True)
        )
        for index, branch in enumerate(branches):
            if branch.num_scored == 0:
                raise _unsupervised(example, index)
        return [Tree(id=example.id, prompt=self._prompt_tokens(paths[0][0].prompt, example), branches=branches)]

    def segments(self, example: Example, completion_index: int) -> list[Span]:
        """The tokens of one completion's path (or paths, one after another) with their roles, for people.

        An example without completions has its prompt alone.
        """
        layout = self._layout(example)
        prompt = Path(prompt=layout.prompt(example.prompt), branch=(), messages=example.prompt)
        spans: list[Span] = []
        for path in self._paths(example)[completion_index] if example.completions else [prompt]:
            told = told_apart(path, layout, self._encoder) if isinstance(layout, Conversation) else None
            spans.extend(told if told is not None else (*path.prompt, *path.branch))
        return spans

    def answer(self, token_ids: Sequence[int]) -> Message:
        """The assistant message that sampled tokens spell, without what ends the turn.

        Thinking is told from the answer where the template has markers for it. Tool calls stay text.
        """
        stops = set(self.stop_tokens)
        stop = next((index for index, token in enumerate(token_ids) if token in stops), len(token_ids))
        ids = list(token_ids[:stop])
        if not self._renderer.has_template:
            return Message(role="assistant", content=self._encoder.decode(self._encoder.without_specials(ids)))
        shape = self._shape(tools=False)
        markers, opening = shape.think_markers, shape.opening
        keep = "".join(markers or ()) + opening
        text = self._encoder.decode(self._encoder.without_specials(ids, keep=keep))
        blank = shape.end[: len(shape.end) - len(shape.end.lstrip())]
        thinking, content = _thinking(text.removesuffix(blank), markers)
        return Message(role="assistant", content=content.removeprefix(opening), thinking=thinking)

    def _shape(self, *, tools: bool) -> TurnShape:
        if tools not in self._shapes:
            self._shapes[tools] = TurnShape(self._renderer, self._encoder, tools=tools)
        return self._shapes[tools]

    def _layout(self, example: Example) -> Layout:
        messages = [*example.prompt, *(message for c in example.completions for message in c.messages)]
        if all(message.role == "text" for message in messages):
            return PlainText(self._encoder, example)
        self._renderer.require(f"example '{example.id}'")
        return Conversation(self._renderer, self._encoder, self._shape(tools=bool(example.tools)), example)

    def _paths(self, example: Example) -> list[list[Path]]:
        if not example.completions:
            raise DataError(f"example '{example.id}' has no completions, so there is nothing to train on")
        layout = self._layout(example)
        prompt = Path(prompt=layout.prompt(example.prompt), branch=(), messages=example.prompt)
        return [layout.paths(prompt, completion) for completion in example.completions]

    def _prompt_tokens(self, spans: Sequence[Span], example: Example) -> tuple[int, ...]:
        """The prompt's tokens, with exactly one begin token in front where there is to be one."""
        tokens = tuple(token for span in spans for token in span.tokens)
        begin = self._encoder.begin
        found = next((i for i, token in enumerate(tokens) if token != begin), len(tokens))
        if begin is not None and (found > 1 or (found == 0 and self._encoder.adds_begin)):
            raise TemplateError(
                f"example '{example.id}' begins with {found} begin tokens ({self._encoder.begin_text!r}); expected 1: "
                "let the chat template write it once, at the start"
            )
        return tokens

    def _split_trees(self, example: Example, paths: Sequence[Sequence[Path]]) -> list[Tree]:
        if len(paths) > 1:
            raise TemplateError(
                f"example '{example.id}' has {len(paths)} completions of several assistant turns, and the chat "
                "template renders earlier turns anew, so they cannot be compared over one prompt; keep one assistant "
                "turn in each completion and move the turns before it into the prompt"
            )
        completion, columns = example.completions[0], _shared_columns(example)
        pairs = [(path, _branch(path, completion, columns)) for path in paths[0]]
        trees = [
            Tree(id=f"{example.id}#{number}", prompt=self._prompt_tokens(path.prompt, example), branches=(branch,))
            for number, (path, branch) in enumerate(pairs)
            if branch.num_scored
        ]
        if not trees:
            raise _unsupervised(example, 0)
        return trees


def _branch(path: Path, completion: Completion, columns: Sequence[str]) -> Branch:
    values = {"rank": completion.rank, "label": completion.label, "score": completion.score}
    return Branch(
        tokens=tuple(token for span in path.branch for token in span.tokens),
        weights=tuple(span.weight for span in path.branch for _ in span.tokens),
        columns={name: float(value) for name, value in values.items() if name in columns and value is not None},
    )


def _shared_columns(example: Example) -> list[str]:
    """The columns that all completions carry."""
    carried = [
        {name for name, value in (("rank", c.rank), ("label", c.label), ("score", c.score)) if value is not None}
        for c in example.completions
    ]
    return sorted(set.intersection(*carried))


def _unsupervised(example: Example, index: int) -> DataError:
    return DataError(
        f"example '{example.id}': completion {index} has no token to learn from (its assistant messages have weight 0, "
        "or its token_ids are empty); give one a weight above 0, or leave the row out"
    )


def _thinking(text: str, markers: tuple[str, str] | None) -> tuple[str | None, str]:
    """Thinking and the rest; thinking that was cut off before its end leaves an empty rest."""
    if markers is None or not text.lstrip().startswith(markers[0]):
        return None, text
    thinking, _, content = text.lstrip()[len(markers[0]) :].partition(markers[1])
    return thinking.strip() or None, content.lstrip()
