"""Where the command line prints: coloured on a terminal, plain into a file or a pipe; of several processes one."""

from __future__ import annotations

from rich.console import Console

from burnish.processes import Processes

output = Console(highlight=False)
errors = Console(stderr=True, style="red", highlight=False)


def say(line: str) -> None:
    """Print one line as it is; long ones are left to the terminal to wrap."""
    if Processes().leads:
        output.print(line, markup=False, soft_wrap=True)
