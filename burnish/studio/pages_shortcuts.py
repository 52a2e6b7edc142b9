"""The keys of the work page: what is shown beside the work, and what the page's script obeys, are this one table.

A key is named as browsers name it (`KeyboardEvent.key`), with "Shift+" or "Control+" in front; "digit" stands for any
of 1 to 9. An action is the name under which the script of that kind of work has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Shortcut:
    """One key.

    Attributes:
        key: its name.
        shown: how it is written for people.
        action: what the script calls.
        what: what it does, in words.
        while_typing: whether it works in a field of text too.
    """

    key: str
    shown: str
    action: str
    what: str
    while_typing: bool = False


def _key(key: str, action: str, what: str, *, shown: str | None = None) -> Shortcut:
    return Shortcut(key=key, shown=shown or key, action=action, what=what)


_ALWAYS = (
    Shortcut(key="Control+Enter", shown="Ctrl+Enter", action="send", what="send, also while typing", while_typing=True),
    _key("s", "skip", "skip this item"),
    _key("f", "flag", "flag a problem"),
    _key("g", "guidelines", "guidelines on or off"),
    _key("c", "comment", "write a comment"),
    Shortcut(key="Escape", shown="Esc", action="leave", what="leave a field, so that keys work", while_typing=True),
    _key("?", "keys", "these keys"),
)
_SEND = _key("Enter", "send", "send")

_OF_KIND: Mapping[str, tuple[Shortcut, ...]] = {
    "compare": (
        _key("1", "first", "answer 1 is better; again: stronger"),
        _key("2", "second", "answer 2 is better; again: stronger"),
        _key("0", "tie", "a tie"),
        _key("ArrowLeft", "left", "one step to answer 1", shown="←"),
        _key("ArrowRight", "right", "one step to answer 2", shown="→"),
        _SEND,
    ),
    "rank": (
        _key("ArrowUp", "previous", "the answer above", shown="↑"),
        _key("ArrowDown", "next", "the answer below", shown="↓"),
        _key("Shift+ArrowUp", "up", "move it up", shown="Shift+↑"),
        _key("Shift+ArrowDown", "down", "move it down", shown="Shift+↓"),
        _key("t", "tie", "as good as the one above, or not"),
        _SEND,
    ),
    "rate": (
        _key("digit", "score", "the score, then the next scale", shown="1–9"),
        _key("ArrowUp", "previous", "the scale above", shown="↑"),
        _key("ArrowDown", "next", "the scale below", shown="↓"),
        _SEND,
    ),
    "thumbs": (_key("1", "good", "good"), _key("2", "bad", "not good"), _SEND),
    "spans": (
        _key("ArrowLeft", "left", "the word on the left", shown="←"),
        _key("ArrowRight", "right", "the word on the right", shown="→"),
        _key("Shift+ArrowLeft", "leftwards", "as far as one word to the left", shown="Shift+←"),
        _key("Shift+ArrowRight", "rightwards", "as far as one word to the right", shown="Shift+→"),
        _key("n", "answer", "the next answer"),
        _key("digit", "mark", "mark with this label", shown="1–9"),
        _key("c", "comment", "comment on the last mark"),
        _key("Backspace", "unmark", "take the last mark away"),
        _SEND,
    ),
    "evaluate": (
        _key("a", "accept", "accept"),
        _key("e", "edit", "accept with edits"),
        _key("r", "reject", "reject"),
        _key("digit", "reason", "this reason, or not", shown="1–9"),
        _SEND,
    ),
    "arena": (
        _key("ArrowLeft", "left", "left is better", shown="←"),
        _key("ArrowRight", "right", "right is better", shown="→"),
        _key("0", "tie", "a tie"),
        _key("b", "bad", "both are bad"),
        _key("w", "write", "write"),
    ),
    "demonstrate": (_key("w", "write", "write"),),
    "reformulate": (_key("w", "write", "write"),),
    "create": (_key("w", "write", "write"),),
}


def shortcuts(kind: str) -> tuple[Shortcut, ...]:
    """The keys for a kind of work; an arena has no items to skip, flag or comment on."""
    own = {one.key for one in _OF_KIND[kind]}
    left_out = ("skip", "flag", "comment") if kind == "arena" else ()
    always = [one for one in _ALWAYS if one.action not in left_out and one.key not in own]
    return (*_OF_KIND[kind], *always)
