"""Many fragments in one text: each place where one of them stands, in one pass (Aho and Corasick 1975).

The time grows with the text and with what is found, not with the number of fragments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from burnish.errors import MissingExtra


def fragments_in(fragments: Sequence[str]) -> Callable[[str], Iterator[int]]:
    """The function that finds some fragments in a text, and gives the place in the list of each that stands there.

    Args:
        fragments: not empty, no two the same.

    Raises:
        MissingExtra: pyahocorasick is not installed.
    """
    try:
        import ahocorasick
    except ImportError:
        raise MissingExtra("pyahocorasick", "data") from None
    automaton = ahocorasick.Automaton()
    for place, fragment in enumerate(fragments):
        automaton.add_word(fragment, place)
    automaton.make_automaton()

    def find(text: str) -> Iterator[int]:
        return (place for _, place in automaton.iter(text))

    return find
