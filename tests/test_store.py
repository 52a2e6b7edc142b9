"""The store: content keys, identities, locks, records, what can go."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as rules
from hypothesis import strategies as st

from burnish import store
from burnish.errors import Busy, StoreError
from burnish.store import Identity, content_key, identity, locked, read_record, write_record


def made_of(**changes: Any) -> Identity:
    parts: dict[str, Any] = {
        "verb": "count",
        "settings": {"steps": 3, "data": "a.txt", "train": {"rate": 0.1, "files": ["b.txt"]}},
        "inputs": {"data": "sha256:1", "train.files[0]": "sha256:2"},
        "code": {"count.py:Count": "c0de"},
        "versions": {"torch": "2.13.0"},
    }
    return Identity(**{**parts, **changes})


def artefact(folder: Path, what: Identity, *, state: str = "finished", size: int = 100) -> Path:
    folder.mkdir(parents=True)
    (folder / "numbers.txt").write_bytes(b"x" * size)
    write_record(folder, {"state": state, **what.record(), "started": "then", "seconds": 1.5})
    return folder


def age(path: Path) -> None:
    """Make a file old enough for its hash to be kept."""
    old = time.time() - 100
    os.utime(path, (old, old))


def test_a_file_is_known_by_its_content(tmp_path: Path):
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("same")
    two.write_text("same")
    assert content_key(str(one)) == content_key(str(two))
    one.write_text("diff")
    assert content_key(str(one)) != content_key(str(two))


def test_a_hash_is_kept_by_path_size_and_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "one.txt"
    path.write_text("same")
    age(path)
    before = content_key(str(path))
    monkeypatch.setattr("hashlib.file_digest", lambda *args: pytest.fail("the file was read again"))
    assert content_key(str(path)) == before
    monkeypatch.undo()
    path.write_text("diff")
    assert content_key(str(path)) != before


def test_a_file_that_may_change_under_the_same_time_is_read_again(tmp_path: Path):
    path = tmp_path / "one.txt"
    path.write_text("same")
    stat = path.stat()
    before = content_key(str(path))
    path.write_text("diff")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_key(str(path)) != before


def test_a_folder_is_known_by_names_and_content(tmp_path: Path):
    folder = tmp_path / "data"
    (folder / "in").mkdir(parents=True)
    (folder / "a.txt").write_text("1")
    (folder / "in" / "b.txt").write_text("2")
    first = content_key(str(folder))
    (folder / "in" / "b.txt").rename(folder / "in" / "c.txt")
    renamed = content_key(str(folder))
    (folder / "loop").symlink_to(folder)
    assert first != renamed == content_key(str(folder))


def test_a_finished_run_is_known_by_its_key_and_an_unfinished_one_is_refused(tmp_path: Path):
    what = made_of()
    folder = artefact(tmp_path / "run", what)
    assert content_key(str(folder)) == f"artefact:{what.key}"
    assert content_key(str(folder / "numbers.txt")) == f"artefact:{what.key}/numbers.txt"
    unfinished = artefact(tmp_path / "other", what, state="running")
    with pytest.raises(StoreError, match="holds an unfinished run of 'count'; run it again"):
        content_key(str(unfinished))
    assert content_key(str(unfinished / "numbers.txt")).startswith("sha256:")


def test_names_that_are_no_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    reference = tmp_path / "models--owner--name" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("abc123")
    (tmp_path / "datasets--owner--rows" / "snapshots" / "f00").mkdir(parents=True)
    assert content_key("owner/name") == "hub:owner/name@abc123"
    assert content_key("owner/rows@f00:train") == "hub:owner/rows@f00:train"
    assert content_key("https://example.org/v1") == "url:https://example.org/v1"
    assert content_key("pypi:PyYAML").startswith("pypi:PyYAML==")
    with pytest.raises(StoreError, match="type: pip install --no-deps no-such-package"):
        content_key("pypi:no-such-package")
    for name in ("absent.jsonl", "./absent", "/absent/deeper/file", "a/b/c"):
        with pytest.raises(StoreError, match="no such file or folder"):
            content_key(name)


def test_known_keys_stand_for_what_does_not_exist_yet():
    assert content_key("runs/store/sft-1", {"runs/store/sft-1": "artefact:k"}) == "artefact:k"


def test_the_key_follows_content_and_not_the_place_of_inputs():
    moved = {"steps": 3, "data": "elsewhere.txt", "train": {"rate": 0.1, "files": ["c.txt"]}}
    assert made_of(settings=moved).key == made_of().key
    assert len(made_of().key) == 64
    assert made_of().folder == f"count-{made_of().key[:16]}"


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "other"},
        {"settings": {"steps": 4, "data": "a.txt", "train": {"rate": 0.1, "files": ["b.txt"]}}},
        {"settings": {"steps": 3, "data": "a.txt", "train": {"rate": 0.2, "files": ["b.txt"]}}},
        {"inputs": {"data": "sha256:9", "train.files[0]": "sha256:2"}},
        {"inputs": {"data": "sha256:1", "train.files[0]": "sha256:9"}},
        {"code": {"count.py:Count": "other"}},
        {"versions": {"torch": "2.14.0"}},
        {"grown": ({"steps": 2},)},
    ],
)
def test_each_part_changes_the_key(change: dict[str, Any]):
    assert made_of(**change).key != made_of().key
    found = store.differences(made_of(), made_of(**change))
    assert len(found) == 1


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@rules(deadline=None, max_examples=50)
@given(st.dictionaries(st.text(min_size=1), plain))
def test_a_record_gives_the_same_identity_back(settings: dict[str, Any]):
    what = made_of(settings=settings, inputs={})
    again = Identity.read(json.loads(json.dumps(what.record())))
    assert again.key == what.key
    assert store.differences(what, again) == []


def test_a_moved_input_is_no_difference_and_a_changed_one_is():
    moved = made_of(settings={"steps": 3, "data": "new.txt", "train": {"rate": 0.1, "files": ["b.txt"]}})
    assert store.differences(made_of(), moved) == []
    gone = made_of(settings={"steps": 3, "data": None, "train": {"rate": 0.1, "files": ["b.txt"]}}, inputs={})
    assert {d.name for d in store.differences(made_of(), gone)} == {"data", "train.files[0]", "train.files"}


def test_the_text_of_a_class_and_of_what_it_inherits_belongs_to_the_key(tmp_path: Path):
    from burnish.config import imported

    path = tmp_path / "mine.py"
    text = "from burnish.stages.stage import Stage\nclass Mine(Stage):\n    def run(self, work): pass\n"
    path.write_text(text)
    before = identity("mine", {}, {}, [imported(f"{path}:Mine")])
    assert set(before.code) == {"mine.py:Mine", "stage.py:Stage"}
    path.write_text(text + "# another text\n")
    after = identity("mine", {}, {}, [imported(f"{path}:Mine")])
    assert [d.name for d in store.differences(before, after)] == ["mine.py:Mine"]
    assert {"burnish", "torch", "transformers"} == set(after.versions)


def test_a_class_without_a_file_is_refused():
    scope: dict[str, Any] = {"__name__": "__nowhere__"}
    exec("class Lost: pass", scope)
    with pytest.raises(StoreError, match=r"write the class in a \.py file"):
        store.source_keys([scope["Lost"]])


def test_a_record_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_record(tmp_path, {"state": "running"})
    with pytest.raises(TypeError):
        write_record(tmp_path, {"state": object()})
    assert read_record(tmp_path) == {"state": "running"}
    (tmp_path / "run.json").write_text('{"state": ')
    with pytest.raises(StoreError, match="cannot be read as JSON"):
        read_record(tmp_path)


def hold(folder: str, ready: Any, go_on: Any) -> None:
    with locked(Path(folder)):
        ready.set()
        go_on.wait(30)


def test_two_processes_exclude_each_other_and_death_frees(tmp_path: Path):
    spawn = multiprocessing.get_context("spawn")
    ready, go_on = spawn.Event(), spawn.Event()
    folder = tmp_path / "run"
    other = spawn.Process(target=hold, args=(str(folder), ready, go_on))
    other.start()
    assert ready.wait(30)
    assert store.is_locked(folder)
    with pytest.raises(Busy, match=f"in use by process {other.pid} on "), locked(folder):
        pass
    other.kill()
    other.join()
    assert not store.is_locked(folder)
    with locked(folder), pytest.raises(Busy), locked(tmp_path / "." / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_find_takes_folders_and_beginnings(tmp_path: Path):
    one = artefact(tmp_path / made_of().folder, made_of())
    two = artefact(tmp_path / made_of(verb="other").folder, made_of(verb="other"))
    assert store.find(made_of().key[:8], tmp_path) == one
    assert store.find("other-", tmp_path) == two
    assert store.find(str(one), tmp_path) == one
    with pytest.raises(StoreError, match="names no artefact"):
        store.find("zzz", tmp_path)
    artefact(tmp_path / made_of(code={}).folder, made_of(code={}))
    with pytest.raises(StoreError, match="names several artefacts"):
        store.find("count-", tmp_path)


def test_explain_shows_what_a_key_is_made_of_and_what_differs(tmp_path: Path):
    one = artefact(tmp_path / "one", made_of())
    lines = store.explain(one)
    assert f"count {made_of().key}" in lines
    assert "input data: a.txt (sha256:1)" in lines
    assert "setting train.rate: 0.1" in lines
    assert "version torch: 2.13.0" in lines
    two = artefact(tmp_path / "two", made_of(versions={"torch": "2.14.0"}))
    assert store.explain(one, two)[1:] == ["version torch: 2.13.0 | 2.14.0"]
    assert store.explain(one, one)[1:] == ["nothing differs: the keys are the same"]
    with pytest.raises(StoreError, match=r"is not a run folder: it has no run\.json"):
        store.explain(tmp_path)


def test_garbage_is_what_nobody_names_or_holds(tmp_path: Path):
    named, other = made_of(), made_of(verb="other")
    held, part = made_of(verb="held"), made_of(verb="part")
    artefact(tmp_path / named.folder, named)
    artefact(tmp_path / other.folder, other, size=5000)
    artefact(tmp_path / f"{held.folder}.part", held, state="running")
    artefact(tmp_path / f"{part.folder}.part", part, state="running")
    with locked(tmp_path / held.folder):
        found = store.garbage(tmp_path, {named.folder})
    assert [item.folder.name for item in found] == [other.folder, f"{part.folder}.part"]
    assert found[0].num_bytes > 5000
    assert (tmp_path / other.folder).exists()
    with locked(tmp_path / part.folder):
        assert store.collect(found) == found[:1]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [named.folder, f"{held.folder}.part", f"{part.folder}.part"]
    )
    assert [i.folder.name for i in store.garbage(tmp_path, {part.folder, named.folder})] == [f"{held.folder}.part"]


def test_published_files_free_nothing(tmp_path: Path):
    folder = artefact(tmp_path / "store" / "count-1", made_of(), size=100_000)
    os.link(folder / "numbers.txt", tmp_path / "published.txt")
    (item,) = store.garbage(tmp_path / "store", ())
    assert item.num_bytes < 10_000
