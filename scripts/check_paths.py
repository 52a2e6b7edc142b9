"""Fail if a tracked file names a folder of somebody's machine or the host of a package registry.

Such a line works for the person who wrote it and for nobody else. Prints each place as `file:line: text`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDERS = re.compile(
    r"(?<![\w.~}\])*-])/(?:root|home|work|Users|opt|mnt|srv)/[\w.]|\b[A-Z]:\\(?:Users|Windows|Program)"
)
HOSTS = re.compile(
    r"\b(?:files\.pythonhosted|registry\.npmjs|(?:test\.|www\.)?pypi|download\.pytorch|deb\.debian)\.org\b"
)


def places(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that names such a folder or host."""
    for number, line in enumerate(text.splitlines(), start=1):
        if FOLDERS.search(line) or HOSTS.search(line):
            yield number, line.strip()


def tracked_files(root: Path) -> list[Path]:
    """The files that git tracks below `root`."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True).stdout
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]


def findings(files: Iterable[Path]) -> Iterator[str]:
    """Yield one line per place; files that are not UTF-8 text are passed over."""
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        yield from (f"{file}:{number}: {line[:120]}" for number, line in places(text))


def main() -> int:
    """Check the repository this file is in."""
    found = list(findings(tracked_files(Path(__file__).parents[1])))
    print("\n".join(found) or "no file names a path of a machine or the host of a registry")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
