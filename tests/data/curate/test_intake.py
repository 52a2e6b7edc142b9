"""What a crawl contains: each oddity is counted and named, and the rest of the file is read."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.config import load
from burnish.data.curate.atomic import read_parquet
from burnish.data.curate.engine import Curation, curate
from burnish.data.curate.gathering import inputs_of
from burnish.data.curate.intake import FLAWS, INCIDENTS, Document, Incident, Intake
from burnish.data.curate.pool import InlinePool
from burnish.data.curate.reading import documents_in
from burnish.data.curate.steps.sample import Sample
from burnish.errors import ConfigError, DataError
from tests.data.curate.contract import fates_in, run_steps

ALL = (Sample(share=1.0),)


def found_in(path: Path, data: bytes | str, **options) -> tuple[list[Document], list[tuple[int, str]]]:
    """The documents of a file with some content, and its incidents as (row, what)."""
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    found = list(documents_in(path, Intake(**options)))
    incidents = [one for one in found if isinstance(one, Incident)]
    return [one for one in found if isinstance(one, Document)], [(one.row, one.what) for one in incidents]


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


GOOD = [{"id": f"n{n}", "text": f"good text number {n}"} for n in range(2000)]


def test_rows_with_everything(tmp_path):
    row = {"id": 7, "text": "é", "url": "http://a.example", "source": "web", "year": 1999, "none": None, "tags": ["a"]}
    documents, incidents = found_in(tmp_path / "a.jsonl", lines(row, {"text": "bare"}))
    assert incidents == []
    assert documents[0] == Document(
        row=1,
        id="7",
        text="é",
        url="http://a.example",
        source="web",
        extra='{"tags": ["a"], "year": 1999}',
        num_bytes=2,
        flaw="",
    )
    bare = documents[1]
    assert (bare.row, bare.id, bare.text, bare.url, bare.source, bare.extra) == (2, None, "bare", None, None, None)


def test_fields_can_be_called_otherwise(tmp_path):
    row = {"content": "body", "doc": "x", "text": "left as it is"}
    documents, _ = found_in(tmp_path / "a.jsonl", lines(row), fields={"text": "content", "id": "doc"})
    assert (documents[0].text, documents[0].id) == ("body", "x")
    assert json.loads(documents[0].extra or "") == {"text": "left as it is"}
    with pytest.raises(ConfigError, match="no field 'txt'; did you mean 'text'"):
        load(Intake, {"fields": {"txt": "content"}})


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (b'{"id": "x", "text": "cut off he', "not-json"),
        (b"<html>", "not-json"),
        (b"[" * 100_000, "not-json"),
        (b"1" * 5000, "not-json"),
        (b'"only text"', "no-text"),
        (b"[1, 2]", "no-text"),
        (b'{"id": "x"}', "no-text"),
        (b'{"id": "x", "text": null}', "no-text"),
        (b'{"id": "x", "text": 5}', "no-text"),
        (b'{"text": "' + b"x" * 3_000_000 + b'"}', "line-too-long"),
        (b"\0\0\0\0", "not-json"),
        (b"\xff\xfe\x00", "not-json"),
    ],
)
def test_a_bad_row_is_named_and_the_rest_is_read(tmp_path, line, what):
    data = lines(GOOD[0]).encode() + line + b"\n" + lines(GOOD[1]).encode()
    documents, incidents = found_in(tmp_path / "a.jsonl", data, max_bytes=200_000)
    assert [document.id for document in documents] == ["n0", "n1"]
    assert incidents == [(2, what)]
    assert what in INCIDENTS
    with pytest.raises(DataError, match=rf"a.jsonl, row 2: {what}.*damaged: drop"):
        found_in(tmp_path / "a.jsonl", data, max_bytes=200_000, damaged="stop")


@pytest.mark.parametrize(
    ("text", "flaw", "mended"),
    [
        (b"a\\u0000b", "nul-bytes", "ab"),
        (b"caf\xe9 au lait", "invalid-utf8", "caf\ufffd au lait"),
        (b"half \\ud83d pair", "lone-surrogate", "half \ufffd pair"),
        (b"\\ud83d\\ude00 whole", "", "\U0001f600 whole"),
        (b"", "empty", None),
        (b" \\n\\t", "empty", None),
        (b"x" * 1001, "too-long", None),
        (b"\xc3\xa9" * 501, "too-long", None),
        (b"x" * 1000, "", "x" * 1000),
    ],
)
def test_flawed_texts_are_dropped_or_mended_and_named(tmp_path, text, flaw, mended):
    data = b'{"id": "x", "text": "' + text + b'"}\n{"id": "y", "text": "fine"}\n'
    for damaged in ("drop", "mend"):
        folder = tmp_path / damaged
        folder.mkdir()
        (folder / "a.jsonl").write_bytes(data)
        curation = Curation(
            inputs=inputs_of({"a": str(folder / "a.jsonl")}), intake=Intake(max_bytes=1000, damaged=damaged), steps=ALL
        )
        summary = curate(curation, folder / "out", InlinePool(), lambda line: None)
        found = fates_in(folder / "out")
        assert found["y"].fate == "keep"
        row = found["x"].steps["read"]
        assert row["reason"] == (flaw or None)
        if not flaw:
            assert found["x"].text == mended
            continue
        assert flaw in FLAWS
        through = damaged == "mend" and mended is not None
        assert found["x"].fate == ("edit" if through else "drop")
        assert found["x"].text == (mended if through else None)
        assert found["x"].step == (None if through else "read")
        counts = summary["steps"][0]["edited" if through else "dropped"]
        assert counts[flaw]["documents"] == 1
        assert summary["steps"][0]["left"]["bytes"] == 4 + (len(mended.encode()) if through and mended else 0)
    if flaw:
        with pytest.raises(DataError, match=f"row 1: {flaw}, and damaged is 'stop'"):
            found_in(tmp_path / "a.jsonl", data, max_bytes=1000, damaged="stop")


def test_a_document_of_50_megabytes_is_named_by_its_id_and_takes_no_place(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"id": "huge", "text": "word " * 10_000_000}, *GOOD[:3]))
    curation = Curation(inputs=inputs_of({"a": str(tmp_path / "a.jsonl")}), intake=Intake(), steps=ALL)
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    found = fates_in(tmp_path / "out")
    assert (found["huge"].step, found["huge"].reason) == ("read", "too-long")
    assert found["huge"].steps["read"]["bytes"] == 50_000_000
    assert sum(fate.fate == "keep" for fate in found.values()) == 3


def packed(count: int = 2000) -> bytes:
    rng = np.random.default_rng(0)
    rows = [
        {**row, "text": row["text"] + bytes(rng.integers(97, 122, 40, dtype=np.uint8)).decode()} for row in GOOD[:count]
    ]
    return gzip.compress(lines(*rows).encode())


def test_a_gzip_file_that_breaks_in_the_middle_gives_what_was_before(tmp_path):
    data = bytearray(packed())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    documents, incidents = found_in(tmp_path / "a.jsonl.gz", bytes(data))
    assert 100 < len(documents) < 2000
    assert "corrupt-file" in [what for _, what in incidents]
    with pytest.raises(DataError):
        found_in(tmp_path / "a.jsonl.gz", bytes(data), damaged="stop")


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_packed_file_that_is_cut_off_gives_what_was_before(tmp_path, ending):
    plain = gzip.decompress(packed())
    data = packed() if ending == "gz" else pa.compress(plain, "zstd", asbytes=True)
    documents, incidents = found_in(tmp_path / f"a.jsonl.{ending}", data[: len(data) // 2])
    assert incidents[-1][1] in ("corrupt-file", "not-json")
    assert len(documents) < 2000
    if ending == "gz":
        assert len(documents) > 100


def members_of(count: int, rows: int) -> list[bytes]:
    """Gzip members with some documents each, ids n0, n1, ..., that cannot be packed much."""
    plain = gzip.decompress(packed(count * rows)).splitlines(keepends=True)
    return [gzip.compress(b"".join(plain[start : start + rows])) for start in range(0, count * rows, rows)]


def broken(member: bytes, how: str) -> bytes:
    data = bytearray(member)
    middle = len(data) // 2
    if how == "form":
        data[middle : middle + 40] = bytes(40)
    elif how == "checksum":
        data[-8] ^= 1
    elif how == "header":
        data[0] = 0x20
    elif how == "cut off":
        del data[middle:]
    elif how == "a header inside":
        data[middle : middle + 10] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return bytes(data)


@pytest.mark.parametrize("how", ["form", "checksum", "header", "cut off", "a header inside"])
@pytest.mark.parametrize("which", [0, 3, 7])
def test_a_damaged_gzip_member_loses_itself_alone(tmp_path, how, which):
    parts = members_of(8, 100)
    parts[which] = broken(parts[which], how)
    documents, incidents = found_in(tmp_path / "a.jsonl.gz", b"".join(parts))
    ids = {document.id for document in documents}
    others = {f"n{n}" for n in range(800) if n // 100 != which}
    assert others <= ids
    # The last one has nothing behind it where the reading could go on, but for a checksum nothing is missing there.
    last = which == 7 and how != "checksum"
    kind = "corrupt-file" if which == 7 else "corrupt-member"
    assert [what for _, what in incidents if what.startswith("corrupt")] == [kind]  # beside lines of nonsense
    if how == "checksum":
        assert ids == others | {f"n{n}" for n in range(which * 100, which * 100 + 100)}
    if not last:
        texts = {document.id: document.text for document in documents if document.id in others}
        sound, _ = found_in(tmp_path / "b.jsonl.gz", b"".join(members_of(8, 100)))
        assert texts == {document.id: document.text for document in sound if document.id in others}
    with pytest.raises(DataError):
        found_in(tmp_path / "a.jsonl.gz", b"".join(parts), damaged="stop")


def test_members_are_read_as_gzip_reads_them(tmp_path):
    parts = members_of(5, 3)
    parts = [parts[0], gzip.compress(b""), parts[1], bytes(7), parts[2], parts[3], parts[4], bytes(100_000)]
    documents, incidents = found_in(tmp_path / "a.jsonl.gz", b"".join(parts))
    assert incidents == []
    assert [document.id for document in documents] == [f"n{n}" for n in range(15)]
    assert [document.row for document in documents] == list(range(1, 16))
    cut = gzip.compress(lines(*GOOD[:3]).encode()[:50]) + gzip.compress(lines(*GOOD[:3]).encode()[50:])
    documents, incidents = found_in(tmp_path / "b.jsonl.gz", cut)  # a line may go over the border of two members
    assert [document.id for document in documents] == ["n0", "n1", "n2"]
    assert found_in(tmp_path / "c.jsonl.gz", b"") == ([], [(0, "empty-file")])


def test_a_damaged_member_is_counted_and_named_and_the_row_goes_on(tmp_path):
    parts = members_of(3, 10)
    parts[1] = broken(parts[1], "header")
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(parts))
    curation = Curation(inputs=inputs_of({"web": str(tmp_path / "a.jsonl.gz")}), intake=Intake(), steps=ALL)
    summary = curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    assert summary["incidents"] == {"corrupt-member": 1}
    (row,) = read_parquet(tmp_path / "out" / "incidents.parquet").to_pylist()
    assert (row["file"], row["row"]) == ("web/a.jsonl.gz", 11)
    assert f"member at byte {len(parts[0])} is damaged" in row["detail"]
    assert len(fates_in(tmp_path / "out")) == 20


def test_headers_without_end_take_bounded_time(tmp_path):
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    start = time.perf_counter()
    documents, incidents = found_in(tmp_path / "a.jsonl.gz", (header + b"\xff" * 3) * 300_000)
    assert (documents, [what for _, what in incidents]) == ([], ["corrupt-file"])
    assert time.perf_counter() - start < 20


@given(data=st.binary(max_size=400))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_between_two_members_leave_the_second(tmp_path, data):
    good = gzip.compress(lines(*GOOD[:2]).encode()), gzip.compress(b"\n" + lines(*GOOD[2:4]).encode())
    documents, _ = found_in(tmp_path / "a.jsonl.gz", good[0] + data + good[1])
    assert {"n0", "n1", "n2", "n3"} <= {document.id for document in documents}


def test_other_files_are_read_although_one_is_corrupt(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl.gz").write_bytes(b"no gzip at all")
    (folder / "b.parquet").write_bytes(b"no parquet either")
    (folder / "c.jsonl").write_text("")
    (folder / "d.jsonl").write_text(lines(*GOOD[:4]))
    (folder / "e.txt").write_text("")
    (folder / "f.json").write_text("[{")
    curation = Curation(inputs=inputs_of({"web": str(folder)}), intake=Intake(), steps=ALL)
    summary = curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    assert summary["incidents"] == {"corrupt-file": 3, "empty-file": 2}
    rows = read_parquet(tmp_path / "out" / "incidents.parquet").to_pylist()
    assert [(row["file"], row["what"]) for row in rows] == [
        ("web/a.jsonl.gz", "corrupt-file"),
        ("web/b.parquet", "corrupt-file"),
        ("web/c.jsonl", "empty-file"),
        ("web/e.txt", "empty-file"),
        ("web/f.json", "corrupt-file"),
    ]
    assert len(fates_in(tmp_path / "out")) == 4


def test_parquet_with_bytes_that_are_no_text(tmp_path):
    texts = pa.array([b"fine", b"caf\xe9", b"fine too", None], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": texts, "n": [1, 2, 3, 4]}), tmp_path / "a.parquet")
    found = list(documents_in(tmp_path / "a.parquet", Intake()))
    assert [one.flaw for one in found if isinstance(one, Document)] == ["", "invalid-utf8", ""]
    assert [one.row for one in found if isinstance(one, Incident)] == [4]


def test_text_files_are_one_document_or_several(tmp_path):
    text = "\ufeffone\r\nline\n\n \ntwo\n"
    documents, _ = found_in(tmp_path / "a.txt", text)
    assert [document.text for document in documents] == ["one\nline\n\n \ntwo\n"]
    parts, _ = found_in(tmp_path / "a.txt", text, documents="paragraphs")
    assert [(part.row, part.text) for part in parts] == [(1, "one\nline"), (5, "two\n")]
    flawed, _ = found_in(tmp_path / "a.txt", b"fine\n\ncaf\xe9\n\nfine", documents="paragraphs")
    assert [part.flaw for part in flawed] == ["", "invalid-utf8", ""]
    long, _ = found_in(tmp_path / "a.txt", "x" * 50, max_bytes=10)
    assert [part.flaw for part in long] == ["too-long"]


def test_csv_rows(tmp_path):
    documents, incidents = found_in(tmp_path / "a.csv", "id,text\na,one\nb\nc,three\n")
    assert [document.id for document in documents] == ["a", "c"]
    assert incidents == [(3, "bad-row")]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", '"'),
        ("a.csv", ""),
        ("a.json", "[" * 100_000),
        ("a.json", "[" + "1" * 5000 + "]"),
    ],
)
def test_a_file_that_cannot_be_read_at_all_is_an_incident(tmp_path, name, data):
    documents, incidents = found_in(tmp_path / name, data)
    assert documents == []
    assert [row for row, _ in incidents] == [0]
    if data:
        with pytest.raises(DataError):
            found_in(tmp_path / name, data, damaged="stop")


def test_repeated_ids_are_counted_named_and_made_unique(tmp_path):
    rows = [
        {"id": "a", "text": "one"},
        {"id": "a", "text": "two"},
        {"id": "a", "text": "three"},
        {"id": "a~2", "text": "was called so before"},
        {"id": "b", "text": "alone"},
        {"text": "without"},
        {"text": "without"},
    ]
    found = run_steps(ALL, rows, tmp_path / "out", files=3)
    names = set(found) - {name for name in found if name.startswith("doc-")}
    assert names == {"a", "a~2", "a~3", "a~4", "b"}
    assert found["a~2"].text == "was called so before"
    assert {found[name].text for name in ("a", "a~3", "a~4")} == {"one", "two", "three"}
    for name in ("a~3", "a~4"):
        assert (found[name].steps["read"]["reason"], found[name].steps["read"]["note"]) == ("repeated-id", "given as a")
        assert found[name].fate == "keep"
    derived = sorted(name for name in found if name.startswith("doc-"))
    assert derived[1] == f"{derived[0]}~2"
    assert {found[name].text for name in derived} == {"without"}


def test_an_id_that_is_no_name_is_made_from_the_content(tmp_path):
    rows = [{"id": value, "text": "t"} for value in ("", None, True, 1.5, ["x"], "x" * 501)]
    documents, _ = found_in(tmp_path / "a.jsonl", lines(*rows))
    assert {document.id for document in documents} == {None}
    odd, _ = found_in(tmp_path / "a.jsonl", '{"id": "a\\ud800", "text": "t", "url": "u\\ud800"}\n')
    assert (odd[0].id, odd[0].url) == ("a\ufffd", "u\ufffd")


def test_places_lead_back_to_file_and_row(tmp_path):
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    (folder / "a.jsonl").write_text("\n" + lines(GOOD[0]))
    curation = Curation(inputs=inputs_of({"web": str(tmp_path / "in")}), intake=Intake(), steps=ALL)
    curate(curation, tmp_path / "out", InlinePool(), lambda line: None)
    assert read_parquet(tmp_path / "out" / "places" / "shard-00000.parquet").to_pylist() == [
        {"id": "n0", "file": "web/deep/a.jsonl", "row": 2}
    ]


@given(data=st.binary(max_size=300))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_stop_the_reading(tmp_path, data):
    for name in ("a.jsonl", "b.txt", "c.jsonl.gz", "d.parquet", "e.json", "f.csv"):
        (tmp_path / name).write_bytes(data)
        for one in documents_in(tmp_path / name, Intake()):
            if isinstance(one, Document):
                one.text.encode()


def test_hostile_lines_take_bounded_time(tmp_path):
    start = time.process_time()
    for text in ("\n" + " " * 100_000) * 10, "\n" * 500_000, "~2" * 200_000:
        found_in(tmp_path / "a.txt", text, documents="paragraphs")
        found_in(tmp_path / "a.jsonl", lines({"id": text[:400], "text": text}))
    assert time.process_time() - start < 10
