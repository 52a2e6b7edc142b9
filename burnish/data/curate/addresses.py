"""The address of a document: the host that it names, and the lists of domains that the host may be on.

A listed domain stands for itself and everything below it: `example.co.uk` for `www.example.co.uk` too,
`blog.example.org` for itself and `a.blog.example.org`, not for `example.org`. A name under which anybody can register a
domain (`co.uk`, `com`) is refused in a list, since it would stand for half of the web; which names these are says the
Public Suffix List, in the copy that tldextract carries. Nothing is fetched. IPv6 addresses stand in brackets.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from burnish.data.curate.listing import entries
from burnish.errors import DataError, MissingExtra

if TYPE_CHECKING:
    from tldextract import TLDExtract

_LONGEST_HOST = 253  # characters, RFC 1035


def host_of(url: str) -> str | None:
    """The host that an address names, in lower case and ASCII; None if it names none.

    Args:
        url: with or without `https://`.
    """
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname
    except ValueError:
        return None
    host = (host or "").rstrip(".")
    if not host or len(host) > _LONGEST_HOST:
        return None
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return None


def names_above(host: str) -> Iterator[str]:
    """A host, then every name above it: `a.b.org`, `b.org`, `org`; of a number only itself."""
    yield host
    if ":" in host or host.rpartition(".")[2].isdigit():
        return
    while "." in host:
        host = host.partition(".")[2]
        yield host


def listed_name(host: str, listed: Mapping[str, str]) -> str | None:
    """The listed name that stands for a host, the longest one; None if there is none."""
    return next((name for name in names_above(host) if name in listed), None)


def domain_list(paths: Sequence[str]) -> dict[str, str]:
    """Domains, hosts and IP addresses of some files, each with its place in them.

    Raises:
        DataError: a file cannot be read, or an entry is no name that somebody registered; names the line.
        MissingExtra: tldextract is not installed.
    """
    found: dict[str, str] = {}
    if not paths:
        return found
    extract = _extractor()
    for entry in entries(paths):
        host = host_of(entry.text.removeprefix("*.").lstrip("."))
        if host is None or "/" in entry.text or " " in entry.text:
            raise DataError(f"{entry.place}: '{entry.text}' is no domain; expected one such as example.org")
        if not _is_number(host) and not extract(host).top_domain_under_public_suffix:
            raise DataError(
                f"{entry.place}: '{entry.text}' is a name under which anybody can register a domain, or none at all; "
                "expected one such as example.org"
            )
        found.setdefault(host, entry.place)
    return found


def _extractor() -> TLDExtract:
    """With the list that the package carries: no download, and no folder for a cache."""
    try:
        import tldextract
    except ImportError:
        raise MissingExtra("tldextract", "data") from None
    return tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
