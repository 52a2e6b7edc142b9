"""What the documentation site has besides the pages in docs/: equations, the command line, the API reference.

mkdocs calls the functions below while it builds (see `hooks` in mkdocs.yml). The page of the command line is what
`--help` prints, verb by verb. The API reference comes from the docstrings, one page per package of `burnish/`, in the
order of the layers from the bottom up, so that it reads like the design.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mathml import MathExtension
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from burnish.cli import COMMANDS, main, overview
from burnish.stages.registry import STAGES

PACKAGE = Path(__file__).parents[1] / "burnish"

LAYERS = (
    *("errors", "hub", "example", "config", "numerics", "stats", "store", "batch", "protocols", "metrics"),
    *("text", "data", "models", "objectives", "sampling", "graders", "compress", "training", "evals"),
    *("synth", "reports", "studio", "stages", "cli"),
)
"""Names in `burnish/`, lower levels first."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the equations and the API pages' places in the navigation."""
    config.markdown_extensions.append(MathExtension())  # type: ignore[arg-type]
    nav: list[Any] = config.nav or []
    nav.append({"API": [{f"burnish.{name}": f"api/{name}.md"} for name, _ in api_pages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made here."""
    files.append(File.generated(config, "reference/cli.md", content=command_line_page()))
    for name, text in api_pages():
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def command_line_page() -> str:
    """What `--help` prints: of the command line as a whole, then of each verb."""
    links = " · ".join(f"[{verb}](#{verb})" for verb in [*STAGES, *COMMANDS])
    lines = ["---", "hide: [toc]  # room for long lines", "---", "", "# Command line", "", links, ""]
    lines += ["```text", overview(), "```", ""]
    for verb in [*STAGES, *COMMANDS]:
        lines += [f"## {verb}", "", "```text", help_of(verb), "```", ""]
    return "\n".join(lines)


def help_of(verb: str) -> str:
    """What `burnish VERB --help` prints.

    Raises:
        RuntimeError: it fails.
    """
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = main([verb, "--help"])
    if code != 0:
        raise RuntimeError(f"burnish {verb} --help ends with {code}")
    return printed.getvalue().strip()


def api_pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the Markdown of each API page."""
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    for name in sorted(names - {"__init__", "__main__"}, key=_level):
        modules = list(_modules(PACKAGE / name)) if (PACKAGE / name).is_dir() else [f"burnish.{name}"]
        yield name, "\n".join([f"# burnish.{name}", "", *(f"::: {module}\n" for module in modules)])


def _modules(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _level(name: str) -> tuple[int, str]:
    return (LAYERS.index(name) if name in LAYERS else len(LAYERS), name)
