"""The stream of token files in segments of one length, as trees; every token is predicted once in a pass.

    stream     a a a a E b b E c c c c c E        segments of 5 tokens
    segment    [a a a a E|b b E c c|c c c E]
    isolated    (f) a a a a E | (f) b b E, (f) c c | (c) c c c E
    joined      (f) a a a a E | (f) b b E c c     | (c) c c c E

In brackets the prompt, one token that is not predicted: `f`, the spelling's first token, where a document begins, else
the token before. Isolated, a segment is a tree for each document in it, and no token sees another document; joined, it
is one tree. A segment has `length` tokens beside its prompts, but for the last one of the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.batch import Branch, Tree
from burnish.data.tokens.files import TokenFiles

Measure = Callable[[Sequence[int]], int]
"""The UTF-8 bytes that token ids spell."""


class Segments:
    """A stream as segments.

    Args:
        files: the stream.
        length: tokens that a segment predicts.
        joined: let tokens see the documents before theirs in the segment.
        measure: counts the bytes that tokens spell, for the column `num_bytes`.
    """

    def __init__(self, files: TokenFiles, *, length: int, joined: bool, measure: Measure) -> None:
        self.files = files
        self.length = length
        self.joined = joined
        self.measure = measure

    def __len__(self) -> int:
        return -(-self.files.num_tokens // self.length)

    def trees(self, number: int) -> list[Tree]:
        """The trees of one segment; their ids name the documents and the tokens of these, `web/17[0:120]`.

        Raises:
            IndexError: there is no such segment.
        """
        start = number * self.length
        stop = min(start + self.length, self.files.num_tokens)
        parts = [(piece.document, piece.offset, piece.tokens.tolist()) for piece in self.files.stretches(start, stop)]
        if self.joined:
            document, offset, _ = parts[0]
            parts = [(document, offset, [token for _, _, tokens in parts for token in tokens])]
        return [self._tree(start, document, offset, tokens) for document, offset, tokens in parts]

    def _tree(self, start: int, document: str, offset: int, tokens: list[int]) -> Tree:
        """A tree; only the first one of a segment, at `start` of the stream, can begin inside a document."""
        before = int(self.files.tokens(start - 1, start)[0]) if offset else self.files.spelling.first
        columns = {"num_bytes": float(self.measure(tokens))}
        branch = Branch(tokens=tokens, weights=[1.0] * len(tokens), columns=columns)
        return Tree(id=f"{document}[{offset}:{offset + len(tokens)}]", prompt=(before,), branches=(branch,))
