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
from burnish.data.tokens.files import Stretch, TokenFiles

Measure = Callable[[Sequence[int], Sequence[int]], int]
"""The UTF-8 bytes that token ids spell behind those of a prompt."""


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
        pieces = tuple(self.files.stretches(start, stop))
        spans = [pieces] if self.joined else [(piece,) for piece in pieces]
        return [self._tree(start, span) for span in spans]

    def _tree(self, start: int, span: Sequence[Stretch]) -> Tree:
        """A tree of what lies side by side in a segment that begins at `start` of the stream."""
        tokens = [token for piece in span for token in piece.tokens.tolist()]
        num_bytes = sum(self.measure((self._before(start, piece),), piece.tokens.tolist()) for piece in span)
        branch = Branch(tokens=tokens, weights=[1.0] * len(tokens), columns={"num_bytes": float(num_bytes)})
        document, offset = span[0].document, span[0].offset
        prompt = (self._before(start, span[0]),)
        return Tree(id=f"{document}[{offset}:{offset + len(tokens)}]", prompt=prompt, branches=(branch,))

    def _before(self, start: int, piece: Stretch) -> int:
        """The token before; only the first piece of a segment, at `start` of the stream, begins inside a document."""
        return int(self.files.tokens(start - 1, start)[0]) if piece.offset else self.files.spelling.first
