"""A text engine for judges that replies by a function, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.example import Message
from burnish.protocols import Decoding

Replier = Callable[[Sequence[Message]], str]


class ScriptedJudge:
    """Replies `script(messages)`; `rounds` holds the conversations, the seeds and the decoding of every call."""

    def __init__(self, script: Replier) -> None:
        self.script = script
        self.rounds: list[tuple[list[list[Message]], list[int], Decoding]] = []

    def reply(self, messages: Sequence[Message], decoding: Decoding, *, seed: int) -> str:
        return self.replies([messages], decoding, seeds=[seed])[0]

    def replies(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, *, seeds: Sequence[int]
    ) -> list[str]:
        self.rounds.append(([list(messages) for messages in conversations], list(seeds), decoding))
        return [self.script(messages) for messages in conversations]

    @property
    def num_asked(self) -> int:
        return sum(len(conversations) for conversations, _, _ in self.rounds)


def between_marks(question: str) -> list[str]:
    """What stands between the marks of a question: the prompt, then the answer or answers."""
    mark = question.partition("<material-")[2].partition(">")[0]
    return [piece.partition(f"\n</material-{mark}>")[0] for piece in question.split(f"<material-{mark}>\n")[1:]]
