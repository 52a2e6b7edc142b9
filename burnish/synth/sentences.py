"""The sentences of a model's answer that are fit to be used again.

Small models write lists, headings, code and remarks on the task, and a token limit cuts them off. `usable_sentences`
takes the marking off, keeps sentences that are whole and say something, and drops the rest: what the limit cut, what
talks about the task ("Here is a list in lower case:"), code, repetition, and what was said before. It judges form; it
cannot tell whether a sentence is true. English only: the lists below are.
"""

from __future__ import annotations

import re

from burnish.graders.words import pieces, plain, words

SHORTEST, LONGEST = 4, 30  # words of a usable sentence
_SHORTEST_ITEM = 6  # words of a list item that is taken for a sentence without its full stop
_LEAST_VARIETY = 0.6  # share of a sentence's words that are different; below, it repeats itself

_JSON_KEY = re.compile(r'"[\w ]+"\s*:')
_MARKING = re.compile(r"^\s*(?:#+\s+|>\s+|(?:[-*+–•‣◦▪●]|\d+[.)])\s+)+")
_EMPHASIS = re.compile(r"\*+|__|`+")
_LABEL = re.compile(r"^[^.!?:]{1,40}:\s+(?=[A-Z])")
_CONNECTIVE = re.compile(
    r"^(?:however|additionally|moreover|furthermore|also|in addition|therefore|thus|finally|overall|in conclusion|"
    r"in fact|as a result|for example|for instance|first|second|third|firstly|secondly|lastly|well|yes|no|so)\b,\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|vs|etc|approx|No)|\b(?:e\.g|i\.e)|\b[A-Z])\.$")
_WHOLE = re.compile(r"[.!?][\"')]*$")
_STRANGE = re.compile(r"[^\w\s.,;!?\"'()\-–—%$&/°]|_|https?:|\.\.")
_ABOUT_THE_TASK = re.compile(
    r"\b(?:lower ?-?case|upper ?-?case|capitals?|capitali[sz]ed?|commas?|bullets?|bulleted|json|quotation|quotes?|"
    r"quoted|paragraphs?|question|questions|sentences?|words?|phrases?|letters?|keys?|format|formatted|reply|replies|response|"
    r"responses|answer|answers|answered|prompt|instructions?|assistant|ai|language model|smollm|python|code|text|topic|"
    r"here is|here are|here's|the following|above|below|sure|certainly|sorry|please|feel free|let me know|"
    r"i|i'm|i'd|i'll|i've|me|my)\b",
    re.IGNORECASE,
)


def usable_sentences(text: str, *, prompt: str = "") -> list[str]:
    """The usable sentences of `text` in their order, questions included.

    Args:
        text: what a model wrote, whole or cut off.
        prompt: what it was asked; sentences that only give it back are dropped.

    Returns:
        Sentences of 4 to 30 words that start with a capital or a digit and end with a full stop, an exclamation mark
        or a question mark; no two say the same.
    """
    asked = set(pieces(prompt))
    kept: dict[tuple[str, ...], str] = {}
    for sentence in _whole_sentences(plain(text)):
        cleaned = _cleaned(sentence)
        said = tuple(pieces(cleaned))
        if _is_usable(cleaned) and not set(said) <= asked:
            kept.setdefault(said, cleaned)
    return list(kept.values())


def _whole_sentences(text: str) -> list[str]:
    """Sentences that end; a list item that lacks its full stop gets one, unless it is the last line."""
    lines = [_EMPHASIS.sub("", _MARKING.sub("", line)).strip() for line in _without_json(text).split("\n")]
    lines = [line for line in lines if line]
    whole = []
    for number, line in enumerate(lines, start=1):
        *inner, last = _split(_LABEL.sub("", line))
        whole.extend(inner)
        if _WHOLE.search(last):
            whole.append(last)
        elif number < len(lines) and last[-1].isalnum() and len(words(last)) >= _SHORTEST_ITEM:
            whole.append(last + ".")
    return whole


def _without_json(text: str) -> str:
    """JSON, valid or not, as the lines of its values."""
    if not _JSON_KEY.search(text):
        return text
    lines = re.sub(r"[{}\[\]]", "\n", _JSON_KEY.sub("\n", text)).split("\n")
    return "\n".join(line.strip().removesuffix(",").strip('"') for line in lines)


def _split(line: str) -> list[str]:
    """The sentences of one line; the last one may be unfinished."""
    sentences: list[str] = [""]
    for part in _SENTENCE_END.split(line):
        joint = f"{sentences[-1]} {part}".strip()
        if not sentences[-1] or _ABBREVIATION.search(sentences[-1]):
            sentences[-1] = joint
        else:
            sentences.append(part)
    return [sentence for sentence in sentences if sentence] or [line]


def _cleaned(sentence: str) -> str:
    """`sentence` in sentence case, without a connective that leans on what came before."""
    bare = " ".join(sentence.split())
    if bare.isupper():
        bare = bare.lower()
    while (shorter := _CONNECTIVE.sub("", bare)) != bare:
        bare = shorter
    if bare.count('"') % 2:
        bare = bare.strip('"')
    return bare[:1].upper() + bare[1:]


def _is_usable(sentence: str) -> bool:
    said = pieces(sentence)
    return (
        SHORTEST <= len(words(sentence)) <= LONGEST
        and len(set(said)) >= _LEAST_VARIETY * len(said)
        and sentence[0].isalnum()
        and _WHOLE.search(sentence) is not None
        and not _STRANGE.search(sentence)
        and not _ABOUT_THE_TASK.search(sentence)
        and sentence.count('"') % 2 == 0
        and sentence.count("(") == sentence.count(")")
    )
