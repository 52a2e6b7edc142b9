"""Which documents hang together at a threshold, and at which threshold each would go: connected components, in order.

Documents are the nodes of a graph, an edge has the Jaccard of its two ends. At a threshold t the edges of at least t
make groups, and of each group the best document stays. Taken from the strongest edge down (Kruskal), every edge that
joins two groups ends the stay of one document, the worse of the two that were the best of their groups:

    a ──0.95── b ──0.85── c           best first: a, c, b
    link of b = 0.95                  a and b become one group; b goes where t <= 0.95
    link of c = 0.85                  c joins it; c goes where t <= 0.85
    link of a = NaN                   the best of all that hang together never goes

So one number per document says what every threshold would do with it, and does not depend on the order of the edges.
"""

from __future__ import annotations

import numpy as np


def linked(
    pairs: np.ndarray, jaccards: np.ndarray, ranks: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each document's survivor at a threshold, and its link.

    Args:
        pairs: places of the two ends of each edge, (m, 2) int64.
        jaccards: of the edges, (m,).
        ranks: of the documents, the best has 0, (n,) int64; no two are equal.
        threshold: edges of at least that much make the groups.

    Returns:
        The place of the best document of each document's group, (n,) int64, and the links, (n,) float64, NaN for the
        best of all that hang together.
    """
    nodes, ends = np.unique(pairs, return_inverse=True)
    ends = ends.reshape(-1, 2)
    order = np.argsort(-jaccards, kind="stable")
    strong = int(np.count_nonzero(jaccards >= threshold))
    forest = _Forest(ranks[nodes])
    links, survivors = np.full(len(ranks), np.nan), np.arange(len(ranks))
    _join(forest, ends, order[:strong], jaccards, links, nodes)
    survivors[nodes] = nodes[forest.roots()]
    _join(forest, ends, order[strong:], jaccards, links, nodes)
    return survivors, links


def _join(
    forest: _Forest, ends: np.ndarray, order: np.ndarray, jaccards: np.ndarray, links: np.ndarray, nodes: np.ndarray
) -> None:
    """Join the ends of some edges one after another, and note the links of those that stop being the best."""
    for edge in order.tolist():
        worse = forest.join(int(ends[edge, 0]), int(ends[edge, 1]))
        if worse is not None:
            links[nodes[worse]] = jaccards[edge]


class _Forest:
    """Groups of nodes; the root of each is its best node.

    Args:
        ranks: of the nodes, (k,).
    """

    def __init__(self, ranks: np.ndarray) -> None:
        self._ranks: list[int] = ranks.tolist()
        self._above = list(range(len(ranks)))

    def root(self, node: int) -> int:
        """The best node of a node's group."""
        above = self._above
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    def roots(self) -> np.ndarray:
        """The best node of every node's group, (k,) int64."""
        return np.array([self.root(node) for node in range(len(self._above))], np.int64)

    def join(self, one: int, other: int) -> int | None:
        """Make one group of the groups of two nodes; returns the worse of their best nodes, None if they were one."""
        one, other = self.root(one), self.root(other)
        if one == other:
            return None
        best, worse = (one, other) if self._ranks[one] < self._ranks[other] else (other, one)
        self._above[worse] = best
        return worse
