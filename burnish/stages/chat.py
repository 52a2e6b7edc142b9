"""`burnish chat MODEL`: talk to a model in the terminal; from a pipe, each line is one turn."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console

from burnish.example import Example, Message, user
from burnish.protocols import Decoding, Request
from burnish.stages.prepare import load_text
from burnish.stages.sampling import Sampling, load_engine
from burnish.text.rendering import TemplateSettings

_HELP = "Type a message and Enter. /new starts over, /quit ends (Ctrl-D too)."


def chat(model: str, *, decoding: Decoding, system: str | None = None, seed: int = 0) -> None:
    """Read turns from the terminal or a pipe and answer each.

    Args:
        model: as `load_model` takes it.
        decoding: how answers are drawn.
        system: a system message in front of the conversation.
        seed: of the draws.
    """
    console = Console()
    text = load_text(model, TemplateSettings())
    engine = load_engine(model, text, Sampling(max_rows=1))
    beginning = (Message(role="system", content=system),) if system else ()
    history: tuple[Message, ...] = beginning
    if sys.stdin.isatty():
        console.print(_HELP, style="dim")
    for turn, said in enumerate(_turns(console)):
        if said == "/new":
            history = beginning
            continue
        history = (*history, user(said))
        prompt = text.prompt(Example(id=f"turn-{turn}", prompt=history))
        ((sample,),) = engine.sample([Request(id=f"turn-{turn}", prompt=prompt)], decoding, seed=seed)
        answer = text.answer(sample.tokens)
        history = (*history, answer)
        console.print(answer.content, markup=False, highlight=False)
        if sample.finish == "length":
            console.print(f"(cut after {decoding.max_tokens} tokens; raise --max-tokens)", style="dim")


def _turns(console: Console) -> Iterator[str]:
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    while True:
        try:
            said = console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if said == "/quit":
            return
        if said:
            yield said
