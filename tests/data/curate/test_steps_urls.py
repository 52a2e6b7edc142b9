"""Addresses: domains, words, fragments and patterns, allowed and blocked; nothing from the network."""

from __future__ import annotations

import socket
import time

import pytest

from burnish.config import load
from burnish.data.curate.addresses import host_of, names_above
from burnish.data.curate.steps.urls import Urls
from burnish.errors import ConfigError, DataError
from tests.data.curate.contract import check_row_step, run_steps


@pytest.fixture
def listing(tmp_path):
    def write(*lines, name="list.txt"):
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return (str(path),)

    return write


def reasons(step, urls):
    return [row[2] for row in check_row_step(step, ["text"] * len(urls), urls=urls)]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User:pw@WWW.Example.ORG:8080/a?b#c", "www.example.org"),
        ("example.org/path", "example.org"),
        ("http://example.org./", "example.org"),
        ("http://münchen.de/", "xn--mnchen-3ya.de"),
        ("http://[2001:db8::1]/x", "2001:db8::1"),
        ("http://[broken/", None),
        ("/only/a/path", None),
        ("", None),
        ("http://" + "a" * 300 + ".org", None),
        ("http://ü" + "a" * 80 + ".org", None),
    ],
)
def test_hosts(url, host):
    assert host_of(url) == host


def test_names_above():
    assert list(names_above("a.b.org")) == ["a.b.org", "b.org", "org"]
    assert list(names_above("10.0.0.1")) == ["10.0.0.1"]


def test_a_domain_stands_for_everything_below_it_and_nothing_beside(listing):
    step = Urls(
        block_domains=listing("example.co.uk # spam", "*.blog.example.org", "8.8.8.8", "MÜNCHEN.de", "[2606:4700::1]")
    )
    blocked = [
        "https://example.co.uk", "http://a.b.EXAMPLE.co.uk/x", "blog.example.org/1", "http://x.blog.example.org",
        "http://8.8.8.8:80/", "http://[2606:4700::1]:80/", "https://www.xn--mnchen-3ya.de/",
    ]  # fmt: skip
    kept = [
        "https://notexample.co.uk", "https://example.org", "https://example.co.uk.org", "https://co.uk",
        "http://1.8.8.8.8/", "http://x.org/?u=example.co.uk", None, "nonsense",
    ]  # fmt: skip
    assert reasons(step, blocked) == ["blocked-domain"] * len(blocked)
    assert reasons(step, kept) == [None] * len(kept)


def test_allowed_domains_go_before_everything(listing):
    allow = listing("good.example.org", name="allow.txt")
    step = Urls(block_domains=listing("example.org"), allow_domains=allow, fragments=listing("bad", name="f.txt"))
    urls = ["http://good.example.org/bad", "http://example.org/", "http://other.net/bad", "http://other.net/"]
    assert reasons(step, urls) == [None, "blocked-domain", "listed-words", None]
    only = Urls(allow_domains=allow, only_allowed=True, without_url="drop")
    assert reasons(only, [*urls, None]) == [None, "not-allowed", "not-allowed", "not-allowed", "no-url"]
    note = check_row_step(only, ["text"], urls=urls[:1])[0][4]
    assert note.startswith("allowed: good.example.org (")
    assert note.endswith("allow.txt, line 1)")


def test_allowed_patterns_go_before_everything_too(listing):
    allow = listing(r"/wiki/", r"^https://docs\.", name="allow.txt")
    step = Urls(block_domains=listing("example.org"), allow_patterns=allow)
    urls = ["http://example.org/wiki/x", "https://DOCS.example.org/", "http://example.org/wikis", "http://a.net/"]
    assert reasons(step, urls) == [None, None, "blocked-domain", None]
    assert check_row_step(step, ["text"], urls=urls[:1])[0][4] == "allowed: /wiki/"
    assert reasons(Urls(allow_patterns=allow, only_allowed=True), urls) == [None, None, "not-allowed", "not-allowed"]


def test_words_are_whole_and_fragments_are_anywhere(listing):
    urls = ["http://a.net/My-CASINO/", "http://bigcasino77.net/", "http://a.net/c%61sino", "http://a.net/?q=x_casino"]
    assert reasons(Urls(words=listing("Casino")), urls) == ["listed-words", None, "listed-words", "listed-words"]
    assert reasons(Urls(fragments=listing("Casino")), urls) == ["listed-words"] * 4


def test_different_listed_words_are_counted_against_the_limit(listing):
    step = Urls(words=listing("free", "win"), fragments=listing("casin", name="f.txt"), max_words=1)
    rows = check_row_step(step, ["t"] * 3, urls=["http://a.net/free/free", "http://free.casino.net/", "http://a.net/"])
    assert [(row[2], row[4], row[6]) for row in rows] == [
        (None, "free", 1),
        ("listed-words", "casin, free", 2),
        (None, None, 0),
    ]


def test_patterns_are_searched(listing):
    step = Urls(patterns=listing(r"^https?://[^/]*\d{4}\.", r"/tag/.*\?page=\d+$"))
    urls = ["http://shop1234.net/", "http://a.net/TAG/x?page=3", "http://a.net/1234.", "http://a.net/tag/x?page=3#y"]
    assert reasons(step, urls) == ["blocked-pattern", "blocked-pattern", None, None]


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+!", r"(.*a){25}!", r"^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_runs_away_elsewhere_takes_bounded_time(listing, pattern):
    step = Urls(patterns=listing(pattern), fragments=listing("aab", "a" * 50 + "b", name="f.txt"))
    before = time.process_time()
    check_row_step(step, ["t", "t"], urls=["http://x.net/" + "a" * 20_000 + "0", "http://" + "a." * 10_000 + "0"])
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("field", "line", "message"),
    [
        ("block_domains", "co.uk", r"list.txt, line 2: 'co.uk' is a name under which anybody"),
        ("allow_domains", "localhost", r"line 2: 'localhost'"),
        ("block_domains", "example.org/path", r"'example.org/path' is no domain"),
        ("words", "two words", r"line 2: 'two words' is not one word"),
        ("patterns", "(?=x)", r"'\(\?=x\)' is no pattern of RE2: invalid perl operator"),
        ("patterns", "(", r"no pattern of RE2: missing \)"),
    ],
)
def test_lists_that_cannot_be_used_are_refused_with_their_line(listing, field, line, message):
    with pytest.raises(DataError, match=message):
        load(Urls, {"without_url": "drop", field: list(listing("# a list", line))}).check()


def test_settings_that_would_do_nothing_are_refused(listing):
    with pytest.raises(ConfigError, match="nothing would be dropped"):
        load(Urls, {})
    with pytest.raises(ConfigError, match="nothing would be dropped"):
        load(Urls, {"allow_domains": list(listing("example.org"))})
    with pytest.raises(ConfigError, match="give allow_domains"):
        load(Urls, {"only_allowed": True, "block_domains": list(listing("example.org"))})


def test_a_whole_run_without_a_network(listing, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    rows = [
        {"id": "bad", "text": "one", "url": "https://www.example.org/1"},
        {"id": "good", "text": "two", "url": "https://www.example.net/1"},
        {"id": "nowhere", "text": "three"},
    ]
    found = run_steps([Urls(block_domains=listing("example.org"))], rows, tmp_path / "out")
    assert [found[name].fate for name in ("bad", "good", "nowhere")] == ["drop", "keep", "keep"]
    assert found["bad"].reason == "blocked-domain"
    assert found["bad"].steps["urls"]["note"].endswith("list.txt, line 1)")
