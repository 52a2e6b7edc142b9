"""The drawing of a lineage: boxes in layers, what a box was made from above it.

    layers      by the longest path from a source (sources stand one layer above their first use)
    crossings   an edge over several layers gets a point in each; every layer is ordered by the mean place of its
                neighbours, down and up a few times (Sugiyama, Tagawa, Toda 1981)
    places      layers are centred; boxes and points keep their order

`templates/figures.html` draws it. The graph of a recipe has some twenty boxes; nothing here is meant for hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from burnish.reports.lineage import Node

BOX_WIDTH, BOX_HEIGHT = 150, 46
COLUMN_GAP, LAYER_GAP, POINT_WIDTH = 18, 34, 14
MARGIN = 8
SWEEPS = 6


@dataclass(frozen=True, kw_only=True)
class Box:
    """A node at its place: left and top in pixels."""

    node: Node
    x: float
    y: float


@dataclass(frozen=True, kw_only=True)
class Edge:
    """From what something was made, to what was made of it, as an SVG path."""

    parent: str
    child: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A drawn lineage: its size in pixels, boxes, edges, and the whole in words."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    description: str


@dataclass(frozen=True)
class _Point:
    """Where an edge passes a layer."""

    parent: str
    child: str
    layer: int


_Item = str | _Point


def graph(nodes: Sequence[Node]) -> Graph:
    """Lay out a lineage; `nodes` are ordered so that each comes after its parents."""
    layer_of = _layers(nodes)
    layers, links = _with_points(nodes, layer_of)
    _uncross(layers, links)
    widths = [_width(layer) for layer in layers]
    total = max(widths)
    centre: dict[_Item, float] = {}
    for layer, width in zip(layers, widths, strict=True):
        x = MARGIN + (total - width) / 2
        for item in layer:
            centre[item] = x + _size(item) / 2
            x += _size(item) + COLUMN_GAP
    top = [MARGIN + i * (BOX_HEIGHT + LAYER_GAP) for i in range(len(layers))]
    by_id = {node.id: node for node in nodes}
    boxes = tuple(
        Box(node=by_id[item], x=centre[item] - BOX_WIDTH / 2, y=top[layer_of[item]])
        for layer in layers
        for item in layer
        if isinstance(item, str)
    )
    edges = tuple(
        Edge(parent=parent, child=node.id, path=_edge_path(parent, node.id, layer_of, centre, top))
        for node in nodes
        for parent in node.parents
    )
    height = top[-1] + BOX_HEIGHT + MARGIN
    return Graph(width=total + 2 * MARGIN, height=height, boxes=boxes, edges=edges, description=_description(nodes))


def _layers(nodes: Sequence[Node]) -> dict[str, int]:
    layer: dict[str, int] = {}
    for node in nodes:
        layer[node.id] = 1 + max((layer[parent] for parent in node.parents), default=-1)
    for node in nodes:
        if node.run is None:  # a source stands just above its first use
            users = [layer[other.id] for other in nodes if node.id in other.parents]
            layer[node.id] = max(0, min(users, default=1) - 1)
    return layer


def _with_points(nodes: Sequence[Node], layer_of: dict[str, int]) -> tuple[list[list[_Item]], dict[_Item, list[_Item]]]:
    """The items of each layer, points of long edges included, and the neighbours of each item."""
    layers: list[list[_Item]] = [[] for _ in range(max(layer_of.values()) + 1)]
    links: dict[_Item, list[_Item]] = {}
    for node in nodes:
        layers[layer_of[node.id]].append(node.id)
        for parent in node.parents:
            points = [_Point(parent, node.id, i) for i in range(layer_of[parent] + 1, layer_of[node.id])]
            chain: list[_Item] = [parent, *points, node.id]
            for point in points:
                layers[point.layer].append(point)
            for one, other in pairwise(chain):
                links.setdefault(one, []).append(other)
                links.setdefault(other, []).append(one)
    return layers, links


def _uncross(layers: list[list[_Item]], links: dict[_Item, list[_Item]]) -> None:
    """Order every layer by the mean place of its neighbours in the layer before, then in the one after, and again."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for i in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            before = layers[i - 1] if down else layers[i + 1]
            place = {item: (k + 0.5) / len(before) for k, item in enumerate(before)}
            own = {item: (k + 0.5) / len(layers[i]) for k, item in enumerate(layers[i])}
            layers[i].sort(key=lambda item: _mean_place(item, links, place, own))


def _mean_place(
    item: _Item, links: dict[_Item, list[_Item]], place: dict[_Item, float], own: dict[_Item, float]
) -> float:
    near = [place[other] for other in links.get(item, []) if other in place]
    return sum(near) / len(near) if near else own[item]


def _size(item: _Item) -> float:
    return BOX_WIDTH if isinstance(item, str) else POINT_WIDTH


def _width(layer: Sequence[_Item]) -> float:
    return sum(_size(item) for item in layer) + COLUMN_GAP * (len(layer) - 1)


def _edge_path(
    parent: str, child: str, layer_of: dict[str, int], centre: dict[_Item, float], top: Sequence[float]
) -> str:
    """A curve from the bottom of the parent to the top of the child, straight through the layers between."""
    x, y = centre[parent], top[layer_of[parent]] + BOX_HEIGHT
    path = f"M{x:g},{y:g}"
    for layer in range(layer_of[parent] + 1, layer_of[child] + 1):
        inside = layer < layer_of[child]
        next_x = centre[_Point(parent, child, layer)] if inside else centre[child]
        next_y = top[layer]
        bend = (y + next_y) / 2
        path += f"C{x:g},{bend:g} {next_x:g},{bend:g} {next_x:g},{next_y:g}"
        x, y = next_x, next_y
        if inside:
            y = top[layer] + BOX_HEIGHT
            path += f"L{x:g},{y:g}"
    return path


def _description(nodes: Sequence[Node]) -> str:
    name = {node.id: node.name for node in nodes}
    parts = [f"{n.name} was made from {', '.join(name[p] for p in n.parents)}" for n in nodes if n.parents]
    return f"Lineage of {len(nodes)} things. " + ("; ".join(parts) + "." if parts else "Nothing upstream is recorded.")
