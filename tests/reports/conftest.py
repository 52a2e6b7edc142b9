"""A page as a tree, built by a parser that accepts only tags that are closed in order."""

from __future__ import annotations

from html.parser import HTMLParser
from xml.etree.ElementTree import Element

import pytest

from burnish.reports.invented import write_recipe
from burnish.stages.report import ReportStage
from burnish.stages.stage import Work

VOID = {"meta", "br", "hr", "img", "input", "link"}


class PageTree(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("page")
        self.open = [self.root]

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        element = Element(tag, {name: value or "" for name, value in attributes})
        self.open[-1].append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> at {self.getpos()} closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        last = self.open[-1]
        if len(last):
            last[-1].tail = (last[-1].tail or "") + data
        else:
            last.text = (last.text or "") + data


def parsed(html: str) -> Element:
    tree = PageTree()
    tree.feed(html)
    tree.close()
    assert tree.open == [tree.root], f"never closed: {[element.tag for element in tree.open[1:]]}"
    return tree.root


@pytest.fixture(scope="session")
def parse():
    return parsed


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    """The folders of an invented recipe by stage, and the folder of the report on it."""
    root = tmp_path_factory.mktemp("recipe")
    at = write_recipe(root / "store")
    at["report"] = root / "report"
    at["report"].mkdir()
    runs = {name: str(at[f"{name}_scores"]) for name in ("start", "sft", "dpo")}
    said = []
    ReportStage(runs=runs, title="A & B").run(Work(out=at["report"], say=said.append, record=said.append))
    assert said == [f"report: {at['report'] / 'report.html'}"]
    return at


@pytest.fixture(scope="session")
def html(recipe):
    return (recipe["report"] / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(html):
    return parsed(html)
