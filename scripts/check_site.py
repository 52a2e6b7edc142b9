"""Fail if a page of the built site loads anything from the network: the documentation has to open without one.

Links that a reader may follow are fine; scripts, styles, pictures, fonts and frames have to lie in the site itself.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_STYLE_URL = re.compile(r"""(?:url\(|@import)\s*['"]?((?:https?:)?//[^'")\s]+)""")
_FOLLOWED = frozenset({"canonical", "next", "prev", "alternate", "license"})  # <link> for readers, not for loading


class _Loads(HTMLParser):
    """Gathers the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note `src` of anything and `href` of a stylesheet, icon or hint."""
        values = {name: value or "" for name, value in attrs}
        if "src" in values:
            self.found.append(values["src"])
        if tag == "link" and not _FOLLOWED & set(values.get("rel", "").split()):
            self.found.append(values.get("href", ""))
        self.found.extend(_STYLE_URL.findall(values.get("style", "")))


def loads(text: str, suffix: str) -> list[str]:
    """The addresses on the network that a page (".html") or a style sheet (".css") loads."""
    if suffix == ".css":
        return list(_STYLE_URL.findall(text))
    page = _Loads()
    page.feed(text)
    return [address for address in page.found if re.match(r"(?:https?:)?//", address)]


def findings(site: Path) -> Iterator[str]:
    """Yield one line per address that the files below `site` load from the network."""
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".css"):
            addresses = loads(file.read_text(encoding="utf-8"), file.suffix)
            yield from (f"{file}: loads {address}" for address in addresses)


def main() -> int:
    """Check `site/` beside the folder of this file."""
    site = Path(__file__).parents[1] / "site"
    if not (site / "index.html").is_file():
        print(f"there is no site in {site}; type: make docs")
        return 1
    found = list(findings(site))
    print("\n".join(found) or "no page loads anything from the network")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
