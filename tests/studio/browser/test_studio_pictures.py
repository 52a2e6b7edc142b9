"""The pictures of the docs: each is of the page that it says, filled with the sample work.

With the variable BURNISH_STUDIO_PICTURES set to a folder they are written there (`make pictures`); without it they are
made, looked at and thrown away.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from burnish.studio.demo import fill

pytestmark = pytest.mark.studio

VARIABLE = "BURNISH_STUDIO_PICTURES"
DOCS = Path(__file__).parents[3] / "docs"
PHONE = {"viewport": {"width": 390, "height": 760}}
TALL = {"viewport": {"width": 1280, "height": 980}}
COLOURS = 48
"""Of a picture as it is kept; the pages have few."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A page, what has to be there, what is done first, and the browser's options."""

    path: str
    shows: str
    keys: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)


PICTURES = {
    "studio-home": Picture(path="/", shows=".projects .bar"),
    "studio-compare": Picture(path="/projects/demo-compare/work", shows="#work[data-item] .scale", keys=("2",)),
    "studio-arena": Picture(
        path="/projects/demo-arena/work",
        shows="#votes",
        keys=("type:What is opal, and why do people like it?", "Control+Enter"),
    ),
    "studio-progress": Picture(path="/projects/demo-compare/progress", shows="#leaderboard", options=TALL),
    "studio-review": Picture(path="/projects/demo-compare/review", shows="[data-dispute] .scale"),
    "studio-agreement": Picture(path="/projects/demo-compare/numbers", shows=".reach .dot"),
    "studio-dark": Picture(
        path="/projects/demo-rate/work", shows="#work[data-item] .rating", options={"color_scheme": "dark"}
    ),
    "studio-phone": Picture(path="/projects/demo-rank/work", shows=".rank-row", options=PHONE),
}


@pytest.fixture(scope="module")
def sample(served):
    with served.write() as session:
        fill(session, served.studio.secret, served.studio.clock())
    return served


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_its_page(name, sample, visit, tmp_path):
    image = pytest.importorskip("PIL.Image")
    picture = PICTURES[name]
    page = visit("Eva", role="admin", **picture.options)
    page.goto(f"{sample.address}{picture.path}")
    if picture.path.endswith("/work"):
        page.wait_for_selector("#work[data-item], #work[data-conversation]")
    for key in picture.keys:
        if key.startswith("type:"):
            page.keyboard.insert_text(key.removeprefix("type:"))
        else:
            page.keyboard.press(key)
    page.locator(picture.shows).first.wait_for()
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    path = Path(os.environ.get(VARIABLE, str(tmp_path))) / f"{name}.png"
    page.screenshot(path=path, animations="disabled", scale="css")
    with image.open(path) as made:
        small = made.convert("RGB").quantize(COLOURS)
    small.save(path, optimize=True)
    size = page.viewport_size
    assert small.size == (size["width"], size["height"])
    assert len(small.convert("RGB").getcolors(size["width"] * size["height"])) > 8, "an empty page"
    with image.open(DOCS / "assets" / path.name) as kept:
        assert kept.size == small.size, "type make pictures"


def test_the_page_of_the_docs_shows_every_picture_and_no_other():
    text = (DOCS / "studio.md").read_text(encoding="utf-8")
    assert [text.count(f"](assets/{name}.png)") for name in PICTURES] == [1] * len(PICTURES)
    assert sorted(path.stem for path in (DOCS / "assets").glob("studio-*.png")) == sorted(PICTURES)
