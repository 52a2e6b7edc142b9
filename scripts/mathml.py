"""Equations for the documentation: TeX between dollars becomes MathML when the site is built.

    $x^2$ in a line          $$ ... $$ as a paragraph of its own

Browsers draw MathML themselves, so a page needs neither a network nor a script for its equations.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

INLINE = r"(?<![\\$\w])\$(?![\s$])([^$\n]+?)(?<![\s\\])\$(?![\w$])"


def mathml(tex: str, *, display: bool) -> str:
    """The equation as MathML, which browsers draw and screen readers read.

    Raises:
        ValueError: the TeX cannot be read; names the equation.
    """
    try:
        drawn = convert(tex, display="block" if display else "inline")
    except Exception as error:  # the converter raises many kinds
        raise ValueError(f"cannot draw the equation {tex!r}: {type(error).__name__} {error}") from error
    if unknown := re.search(r"<mi>(\\\w+)", drawn):
        raise ValueError(f"cannot draw the equation {tex!r}: the command {unknown[1]} is unknown")
    return str(drawn)


class InlineMath(InlineProcessor):
    """`$x^2$` in a line; code spans come first."""

    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override]
        """The equation, kept from further processing."""
        return self.md.htmlStash.store(mathml(m.group(1), display=False)), m.start(0), m.end(0)


class BlockMath(BlockProcessor):
    """A paragraph between double dollars."""

    def test(self, parent: Element, block: str) -> bool:
        """Whether the block is an equation."""
        stripped = block.strip()
        return len(stripped) > 4 and stripped.startswith("$$") and stripped.endswith("$$")

    def run(self, parent: Element, blocks: list[str]) -> None:
        """Put the equation into the page."""
        tex = blocks.pop(0).strip()[2:-2].strip()
        place = SubElement(parent, "p")
        place.text = self.parser.md.htmlStash.store(mathml(tex, display=True))


class MathExtension(Extension):
    """Both kinds of equations, for Python-Markdown."""

    def extendMarkdown(self, md: Markdown) -> None:
        """Register the processors: inline after code spans and before escapes, blocks before paragraphs."""
        md.inlinePatterns.register(InlineMath(INLINE, md), "mathml", 185)
        md.parser.blockprocessors.register(BlockMath(md.parser), "mathml", 75)


def makeExtension(**settings: Any) -> MathExtension:
    """How Python-Markdown finds the extension by the name of this module."""
    return MathExtension(**settings)
