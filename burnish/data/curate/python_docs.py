"""Documents that every installation of Python carries: the docstrings of its standard library, and pydoc's topics.

    topics    the chapters of the language reference that `help("topics")` lists
    modules   a document for each module, class and function that has a docstring: `asyncio.events.Handle`

Files are parsed, never imported, so nothing runs, and another Python than the running one can be read. Tests and the
third-party packages beside the library are left out. Docstrings repeat themselves (an abstract class and what
implements it), are often short and hold code, which makes them a small but honest corpus to curate.
"""

from __future__ import annotations

import ast
import inspect
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from burnish.errors import DataError

LEFT_OUT = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "idlelib", "lib2to3", "__phello__"}
)


TOPICS = Path(sysconfig.get_paths()["stdlib"], "pydoc_data", "topics.py")
"""The topics of the running Python; the file differs from release to release."""


def python_docs(topics: Path = TOPICS) -> Iterator[dict[str, str]]:
    """Rows with `id`, `text` and `source` (`topics` or `modules`): topics first, each in the order of their names.

    Args:
        topics: the file `pydoc_data/topics.py` of the Python to read; the library around it is read too.

    Raises:
        DataError: it is no such file.
    """
    for name, text in sorted(topics_in(topics).items()):
        yield {"id": f"topic:{name}", "text": text, "source": "topics"}
    for name, path in sorted(_modules(topics.parents[1])):
        yield from _docstrings(name, path)


def topics_in(path: Path) -> Mapping[str, str]:
    """The topics of the file `pydoc_data/topics.py`, by name.

    Raises:
        DataError: it is no such file.
    """
    try:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "topics":
                return cast(Mapping[str, str], ast.literal_eval(node.value))
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as pydoc's topics: {error}") from error
    raise DataError(f"{path} has no topics; expected the file pydoc_data/topics.py of a Python's library")


def _modules(library: Path) -> Iterator[tuple[str, Path]]:
    for path in library.rglob("*.py"):
        parts = path.relative_to(library).with_suffix("").parts
        if not LEFT_OUT.intersection(parts):
            yield ".".join(parts).removesuffix(".__init__"), path


def _docstrings(module: str, path: Path) -> Iterator[dict[str, str]]:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return  # a file that shows what a wrong one looks like
    seen: set[str] = set()
    for name, node in _named(module, tree):
        text = ast.get_docstring(node, clean=False)
        if text and name not in seen:
            seen.add(name)
            yield {"id": name, "text": inspect.cleandoc(text), "source": "modules"}


Node = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _named(name: str, node: Node) -> Iterator[tuple[str, Node]]:
    """A module, its classes and functions, and theirs, by their full names."""
    yield name, node
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _named(f"{name}.{child.name}", child)
