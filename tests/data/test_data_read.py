"""Files, folders, saved tables and hub names; what is wrong with them, said with file and line."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pyarrow
import pyarrow.parquet
import pytest

from burnish.config import load as load_settings
from burnish.data import streams
from burnish.data.locate import fingerprint
from burnish.data.read import Dataset, DataSettings, read
from burnish.errors import BadRow, ConfigError, DataError
from burnish.example import WORKED, user, write_jsonl

Load = Callable[..., Dataset]
GOOD = {"prompt": "Name a gem.", "completion": "Opal."}
BAD = {"prompt": "Name a gem.", "completion": ""}
TEXT = b"one\nmore\n\n\n \n  two<|endoftext|>\nthree\n"


def read_bytes(path: Path, data: bytes, **settings: Any) -> Dataset:
    path.write_bytes(data)
    return read(DataSettings(path=str(path), **settings))


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class TestBadRows:
    def test_stop_counts_all_and_says_what_to_type(self, load: Load) -> None:
        with pytest.raises(BadRow) as caught:
            load(GOOD, BAD, GOOD, BAD, BAD)
        message = str(caught.value)
        assert "rows.jsonl, row 2, field 'completion': found empty text; expected text" in message
        assert "3 of 5 rows are bad, also: 4, 5; to drop, list and count them: on_bad_row: skip" in message
        assert (caught.value.line, caught.value.field) == (2, "completion")

    def test_skip_drops_counts_and_lists(self, load: Load) -> None:
        dataset = load(GOOD, BAD, GOOD, on_bad_row="skip")
        assert [example.id for example in dataset.examples] == ["1", "3"]
        assert (dataset.report.rows, dataset.report.examples) == (3, 2)
        assert [error.line for error in dataset.report.bad] == [2]
        assert json.loads(json.dumps(dataset.report.facts()))["bad_rows"] == [str(dataset.report.bad[0])]

    def test_nothing_but_bad_rows(self, load: Load) -> None:
        with pytest.raises(BadRow, match=r"2 of 2 rows are bad, also: 2$"):
            load(BAD, BAD, on_bad_row="skip")

    def test_row_that_is_no_object(self, load: Load) -> None:
        with pytest.raises(BadRow, match=r"row 2, field '\(whole row\)': found 'hello'; expected an object"):
            load(GOOD, "hello")

    def test_same_id_twice(self, load: Load) -> None:
        rows = [{**GOOD, "id": "a"}, GOOD, {**GOOD, "id": "a"}]
        with pytest.raises(BadRow, match=r"row 3, field 'id': found 'a'; expected an id .*first in .*, row 1"):
            load(*rows)
        assert [example.id for example in load(*rows, ignore=["id"]).examples] == ["1", "2", "3"]

    def test_id_of_another_type(self, load: Load) -> None:
        with pytest.raises(BadRow, match=r"field 'id': found 1.5"):
            load({**GOOD, "id": 1.5})

    def test_limit(self, load: Load) -> None:
        dataset = load(GOOD, GOOD, BAD, limit=2)
        assert (len(dataset.examples), dataset.report.rows) == (2, 2)


class TestJSON:
    def test_broken_line(self, tmp_path: Path) -> None:
        data = lines(GOOD) + b'{"prompt": "Na\n' + lines(GOOD)
        with pytest.raises(BadRow, match=r"a.jsonl, row 2, .*found '\{\"prompt\": \"Na'; expected a JSON object"):
            read_bytes(tmp_path / "a.jsonl", data)
        assert len(read_bytes(tmp_path / "a.jsonl", data, on_bad_row="skip").examples) == 2

    def test_blank_lines_count_as_lines(self, tmp_path: Path) -> None:
        with pytest.raises(BadRow, match="row 4"):
            read_bytes(tmp_path / "a.jsonl", lines(GOOD) + b"\n\n" + lines(BAD))

    def test_line_separators_in_text_do_not_end_a_line(self, tmp_path: Path) -> None:
        row = json.dumps({**GOOD, "completion": "a\u2028b"}, ensure_ascii=False).encode() + b"\n"
        dataset = read_bytes(tmp_path / "a.jsonl", row + lines(GOOD))
        assert [example.completions[0].text for example in dataset.examples] == ["a\u2028b", "Opal."]

    def test_cut_off_list(self, tmp_path: Path) -> None:
        data = json.dumps([GOOD, GOOD], indent=1).encode()
        with pytest.raises(DataError, match=r"a.json, line 8, column \d+: not JSON \(it ends too early; is it cut off"):
            read_bytes(tmp_path / "a.json", data[:-12])

    def test_syntax_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"a.json, line 2, column 2: not JSON \(Expecting"):
            read_bytes(tmp_path / "a.json", b'[{"prompt": 1},\n ?]')

    def test_lines_in_a_json_file(self, tmp_path: Path) -> None:
        dataset = read_bytes(tmp_path / "a.json", lines(GOOD, GOOD))
        assert len(dataset.examples) == 2
        with pytest.raises(BadRow, match=r"a.json, row 2"):
            read_bytes(tmp_path / "a.json", lines(GOOD, BAD))

    def test_list_in_a_json_lines_file(self, tmp_path: Path) -> None:
        with pytest.raises(BadRow, match="expected an object with named fields"):
            read_bytes(tmp_path / "a.jsonl", json.dumps([GOOD]).encode())

    def test_rows_are_numbered(self, tmp_path: Path) -> None:
        with pytest.raises(BadRow, match="row 3"):
            read_bytes(tmp_path / "a.json", json.dumps([GOOD, GOOD, BAD], indent=2).encode())

    @pytest.mark.parametrize("key", ["examples", "data", "rows"])
    def test_rows_under_a_key(self, tmp_path: Path, key: str) -> None:
        dataset = read_bytes(tmp_path / "a.json", json.dumps({"version": 1, key: [GOOD]}).encode())
        assert len(dataset.examples) == 1
        assert f"read from the key '{key}'; left out: version" in dataset.report.notes[0]

    def test_single_row_is_no_wrapper(self, tmp_path: Path) -> None:
        turns = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
        dataset = read_bytes(tmp_path / "a.json", json.dumps({"messages": turns}).encode())
        assert dataset.report.format == "messages"

    def test_several_keys_need_a_choice(self, tmp_path: Path) -> None:
        data = json.dumps({"train": [GOOD, GOOD], "test": [GOOD]}).encode()
        with pytest.raises(DataError, match="under train, test; choose one with split: train"):
            read_bytes(tmp_path / "a.json", data)
        assert len(read_bytes(tmp_path / "a.json", data, split="test").examples) == 1
        with pytest.raises(DataError, match="no rows under split 'dev'"):
            read_bytes(tmp_path / "a.json", data, split="dev")

    def test_split_of_a_plain_list(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="leave out split: train"):
            read_bytes(tmp_path / "a.json", json.dumps([GOOD]).encode(), split="train")

    @pytest.mark.parametrize("data", [b"7", b'{"a": 1}'])
    def test_no_rows_in_it(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(DataError, match="expected a list of rows"):
            read_bytes(tmp_path / "a.json", data)

    def test_not_a_number_is_null(self, tmp_path: Path) -> None:
        data = b'{"instruction": "Q", "input": NaN, "output": "A"}\n'
        assert read_bytes(tmp_path / "a.jsonl", data).examples[0].prompt == (user("Q"),)

    @pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt"])
    @pytest.mark.parametrize("data", [b"", b"\n"])
    def test_empty_file(self, tmp_path: Path, name: str, data: bytes) -> None:
        with pytest.raises(DataError, match="is empty: found no rows"):
            read_bytes(tmp_path / name, data)


class TestEncoding:
    def test_byte_order_mark(self, tmp_path: Path) -> None:
        for name, data in (("a.jsonl", lines(GOOD)), ("a.json", json.dumps([GOOD]).encode())):
            dataset = read_bytes(tmp_path / name, b"\xef\xbb\xbf" + data)
            assert dataset.examples[0].prompt == (user("Name a gem."),)
            assert "byte-order mark" in dataset.report.notes[0]

    def test_windows_line_ends(self, tmp_path: Path) -> None:
        dataset = read_bytes(tmp_path / "a.jsonl", lines(GOOD, GOOD).replace(b"\n", b"\r\n"))
        assert len(dataset.examples) == 2
        assert "CRLF" in dataset.report.notes[0]
        dataset = read_bytes(tmp_path / "a.txt", b"one\r\ntwo\r\n")
        assert dataset.examples[0].completions[0].text == "one\ntwo\n"

    def test_one_line_is_not_utf8(self, tmp_path: Path) -> None:
        data = lines(GOOD) + '{"prompt": "Caf\xe9", "completion": "A"}\n'.encode("latin-1")
        with pytest.raises(BadRow, match=r"row 2, .*byte 0xe9, which is not UTF-8; .*iconv -f WINDOWS-1252"):
            read_bytes(tmp_path / "a.jsonl", data)

    @pytest.mark.parametrize("name", ["a.json", "a.csv", "a.txt"])
    def test_file_is_not_utf8(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(DataError, match=rf"{name}, line 2: byte 0xe9"):
            read_bytes(tmp_path / name, "x\nCaf\xe9\n".encode("latin-1"))

    def test_utf16(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="iconv -f UTF-16"):
            read_bytes(tmp_path / "a.json", json.dumps([GOOD]).encode("utf-16"))

    @pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
    def test_compressed(self, tmp_path: Path, name: str) -> None:
        data = lines(GOOD) if name == "a.jsonl" else json.dumps([GOOD]).encode()
        assert len(read_bytes(tmp_path / f"{name}.gz", gzip.compress(data)).examples) == 1
        packed = pyarrow.Codec("zstd").compress(data, asbytes=True)
        assert len(read_bytes(tmp_path / f"{name}.zst", packed).examples) == 1

    @pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
    def test_damaged_compression(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(DataError, match=rf"{name}: cannot be read"):
            read_bytes(tmp_path / name, b"not packed at all")


class TestTables:
    def test_csv_lines_with_line_breaks_in_cells(self, tmp_path: Path) -> None:
        data = b'prompt,completion\n"two\nlines",A\n\nQ,\nR,B\n'
        with pytest.raises(BadRow, match=r"row 5, field 'completion': found None; expected"):
            read_bytes(tmp_path / "a.csv", data)
        dataset = read_bytes(tmp_path / "a.csv", data, on_bad_row="skip")
        assert [example.id for example in dataset.examples] == ["2", "6"]
        assert dataset.examples[0].prompt == (user("two\nlines"),)

    def test_tsv_and_long_cells(self, tmp_path: Path) -> None:
        before = csv.field_size_limit()
        dataset = read_bytes(tmp_path / "a.tsv", b"prompt\tcompletion\nQ, or R?\t" + b"A" * 200_000 + b"\n")
        assert len(dataset.examples[0].completions[0].text) == 200_000
        assert csv.field_size_limit() == before

    def test_csv_cells(self, tmp_path: Path) -> None:
        with pytest.raises(BadRow, match=r"row 3, .*found 3 cells; expected 2"):
            read_bytes(tmp_path / "a.csv", b"prompt,completion\nQ,A\nQ,A,B\n")
        with pytest.raises(BadRow, match=r"row 3, .*expected cells in quotes that are closed"):
            read_bytes(tmp_path / "a.csv", b'prompt,completion\nQ,A\nQ,"A\n')
        with pytest.raises(DataError, match="line 1: column names"):
            read_bytes(tmp_path / "a.csv", b"prompt,prompt\nQ,A\n")

    def test_csv_lists_are_json(self, tmp_path: Path) -> None:
        data = b'prompt,completions,scores\nQ,"[""A"", ""B""]","[1, 2]"\n'
        dataset = read_bytes(tmp_path / "a.csv", data)
        assert [completion.rank for completion in dataset.examples[0].completions] == [1, 0]

    def test_parquet(self, tmp_path: Path) -> None:
        turns = [
            [{"role": "user", "content": "Q", "weight": None}, {"role": "assistant", "content": "A", "weight": 0.5}],
            [{"role": "user", "content": "R", "weight": None}],
        ]
        table = pyarrow.table({"messages": turns, "day": [datetime.date(2024, 5, 1)] * 2})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        dataset = read(DataSettings(path=str(tmp_path / "a.parquet"), on_bad_row="skip"))
        assert dataset.examples[0].columns == {"day": "2024-05-01"}
        assert dataset.examples[0].completions[0].messages[0].weight == 0.5
        assert [error.line for error in dataset.report.bad] == [2]

    def test_column_that_is_no_text(self, tmp_path: Path) -> None:
        table = pyarrow.table({"prompt": ["Q"], "completion": ["A"], "image": [b"\x89PNG"]})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        with pytest.raises(BadRow, match=r"field 'image': found a value of type bytes.*ignore: \[image\]"):
            read(DataSettings(path=str(tmp_path / "a.parquet")))
        assert len(read(DataSettings(path=str(tmp_path / "a.parquet"), ignore=("image",))).examples) == 1

    def test_not_parquet(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="cannot be read as Parquet"):
            read_bytes(tmp_path / "a.parquet", b"PAR0")


class TestText:
    @pytest.mark.parametrize(
        ("documents", "expected"),
        [
            ("file", {"1": "one\nmore\n\n\n \n  two<|endoftext|>\nthree\n"}),
            ("paragraphs", {"1": "one\nmore", "6": "  two<|endoftext|>\nthree\n"}),
            ("endoftext", {"1": "one\nmore\n\n\n \n  two", "6": "\nthree\n"}),
        ],
    )
    def test_documents(self, tmp_path: Path, documents: str, expected: dict[str, str]) -> None:
        dataset = read_bytes(tmp_path / "a.txt", TEXT, documents=documents)
        found = {example.id: example.completions[0].text for example in dataset.examples}
        assert found == expected
        assert {message.role for e in dataset.examples for message in e.completions[0].messages} == {"text"}

    def test_documents_are_for_text_files(self, load: Load) -> None:
        with pytest.raises(ConfigError, match=r"documents: 'paragraphs' is for .txt files"):
            load(GOOD, documents="paragraphs")


class TestFolders:
    def test_files_by_name_with_their_own_ids(self, tmp_path: Path) -> None:
        for name, text in (("b.jsonl", "B"), ("a.json", "A"), ("deep/c.csv", "C")):
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            rows = {
                ".jsonl": lines({"prompt": text}),
                ".json": json.dumps([{"prompt": text}]).encode(),
                ".csv": f"prompt\n{text}\n".encode(),
            }
            path.write_bytes(rows[path.suffix])
        (tmp_path / ".hidden.json").write_text("?")
        (tmp_path / "notes.md").write_text("?")
        dataset = read(DataSettings(path=str(tmp_path)))
        prompts = {example.id: example.prompt[0].content for example in dataset.examples}
        assert prompts == {"a.json:1": "A", "b.jsonl:1": "B", "deep/c.csv:2": "C"}

    def test_files_of_different_formats(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(lines(GOOD))
        (tmp_path / "b.jsonl").write_bytes(lines({"text": "T"}))
        with pytest.raises(DataError, match=r"a.jsonl has the format 'prompt-completion', .*b.jsonl has 'text'"):
            read(DataSettings(path=str(tmp_path)))

    def test_an_empty_file_beside_others_is_noted(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(b"")
        (tmp_path / "b.jsonl").write_bytes(lines(GOOD))
        assert read(DataSettings(path=str(tmp_path))).report.notes == (f"{tmp_path / 'a.jsonl'}: empty",)

    def test_splits_are_never_mixed(self, tmp_path: Path) -> None:
        (tmp_path / "train-00000.jsonl").write_bytes(lines(GOOD, GOOD))
        (tmp_path / "test-00000.jsonl").write_bytes(lines(GOOD))
        with pytest.raises(DataError, match="holds the splits test, train; choose one with split: test"):
            read(DataSettings(path=str(tmp_path)))
        assert len(read(DataSettings(path=str(tmp_path), split="train")).examples) == 2
        with pytest.raises(DataError, match="no files of split 'dev'; splits there: test, train"):
            read(DataSettings(path=str(tmp_path), split="dev"))

    def test_run_folder(self, tmp_path: Path) -> None:
        (tmp_path / "run.json").write_text("{}")
        with pytest.raises(DataError, match=r"a run without examples.jsonl"):
            read(DataSettings(path=str(tmp_path)))
        write_jsonl(tmp_path / "examples.jsonl", [WORKED])
        (tmp_path / "metrics.jsonl").write_bytes(lines({"step": 1}))
        assert read(DataSettings(path=str(tmp_path))).examples == (WORKED,)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no data files in this folder"):
            read(DataSettings(path=str(tmp_path)))
        (tmp_path / "pairs.jsonl").write_bytes(lines(GOOD))
        with pytest.raises(DataError, match=r"no such file or folder: .*did you mean .*pairs.jsonl\?"):
            read(DataSettings(path=str(tmp_path / "pair.jsonl")))
        (tmp_path / "a.xlsx").write_bytes(b"")
        with pytest.raises(DataError, match=r"unknown kind of file '\.xlsx'"):
            read(DataSettings(path=str(tmp_path / "a.xlsx")))

    def test_saved_table(self, tmp_path: Path) -> None:
        datasets.Dataset.from_list([GOOD, GOOD]).save_to_disk(tmp_path / "one")
        assert len(read(DataSettings(path=str(tmp_path / "one"))).examples) == 2
        with pytest.raises(DataError, match="single table; leave out split"):
            read(DataSettings(path=str(tmp_path / "one"), split="train"))

    def test_saved_splits(self, tmp_path: Path) -> None:
        parts = {"train": datasets.Dataset.from_list([GOOD, GOOD]), "test": datasets.Dataset.from_list([GOOD])}
        datasets.DatasetDict(parts).save_to_disk(tmp_path / "two")
        with pytest.raises(DataError, match="holds the splits train, test"):
            read(DataSettings(path=str(tmp_path / "two")))
        assert len(read(DataSettings(path=str(tmp_path / "two"), split="test")).examples) == 1
        with pytest.raises(DataError, match="has no split 'dev'; splits there: train, test"):
            read(DataSettings(path=str(tmp_path / "two"), split="dev"))

    def test_setting_for_the_hub_only(self, load: Load) -> None:
        with pytest.raises(ConfigError, match="subset: 'main' is for a hub name"):
            load(GOOD, subset="main")

    def test_unknown_format_name(self) -> None:
        with pytest.raises(ConfigError, match="format"):
            load_settings(DataSettings, {"path": "a.json", "format": "openai"})


class TestHub:
    def test_notation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def load_dataset(path: str, *, name: str | None, split: str | None, revision: str | None) -> Any:
            calls.append((path, name, split, revision))
            return datasets.Dataset.from_list([GOOD])

        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        monkeypatch.setattr(streams, "hub_revision", lambda name, **_: "abc")
        dataset = read(DataSettings(path="owner/name@v1.0:train", subset="main"))
        assert (dataset.report.source, len(dataset.examples)) == ("owner/name@v1.0:train", 1)
        read(DataSettings(path="owner/name:train[:10]"))
        read(DataSettings(path="name", split="test"))
        assert calls == [
            ("owner/name", "main", "train", "v1.0"),
            ("owner/name", None, "train[:10]", None),
            ("name", None, "test", None),
        ]

    def test_several_splits_need_a_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        table = datasets.Dataset.from_list([GOOD])
        parts = datasets.DatasetDict({"train_prefs": table, "test_prefs": table})
        monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: parts)
        monkeypatch.setattr(streams, "hub_revision", lambda name, **_: "abc")
        with pytest.raises(DataError, match="holds the splits train_prefs, test_prefs; choose one with split"):
            read(DataSettings(path="owner/name"))

    def test_two_words_about_the_split(self) -> None:
        with pytest.raises(ConfigError, match="split: 'test', but the path says 'train'"):
            read(DataSettings(path="owner/name:train", split="test"))

    def test_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        with pytest.raises(DataError, match="no file or folder 'owner/name' here, and the hub does not give"):
            read(DataSettings(path="owner/name"))


class TestFingerprint:
    def test_file_content_counts_and_its_name_does_not(self, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_bytes(lines(GOOD))
        (tmp_path / "b.jsonl").write_bytes(lines(GOOD))
        first = fingerprint(str(tmp_path / "a.jsonl"))
        assert first == fingerprint(str(tmp_path / "b.jsonl"))
        (tmp_path / "a.jsonl").write_bytes(lines(BAD))
        assert first != fingerprint(str(tmp_path / "a.jsonl"))

    def test_folder(self, tmp_path: Path) -> None:
        (tmp_path / "b.jsonl").write_bytes(lines(GOOD))
        (tmp_path / "a.jsonl").write_bytes(lines(BAD))
        first = fingerprint(str(tmp_path))
        (tmp_path / "notes.md").write_text("not data")
        assert fingerprint(str(tmp_path)) == first
        (tmp_path / "a.jsonl").rename(tmp_path / "c.jsonl")
        assert fingerprint(str(tmp_path)) != first

    def test_run_is_its_examples(self, tmp_path: Path) -> None:
        write_jsonl(tmp_path / "examples.jsonl", [WORKED])
        first = fingerprint(str(tmp_path))
        (tmp_path / "metrics.jsonl").write_bytes(lines({"seconds": 3}))
        assert fingerprint(str(tmp_path)) == first == fingerprint(str(tmp_path / "examples.jsonl"))

    def test_saved_table_is_its_arrow_files(self, tmp_path: Path) -> None:
        datasets.Dataset.from_list([GOOD]).save_to_disk(tmp_path / "one")
        first = fingerprint(str(tmp_path / "one"))
        (tmp_path / "one" / "state.json").write_text("{}")
        assert fingerprint(str(tmp_path / "one")) == first
        datasets.Dataset.from_list([BAD]).save_to_disk(tmp_path / "two")
        assert fingerprint(str(tmp_path / "two")) != first

    def test_hub_name_is_its_commit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commits = {"main": "c1", "v1": "c1", "v2": "c2"}

        def dataset_info(_: Any, name: str, *, revision: str | None, timeout: float) -> Any:
            return huggingface_hub.DatasetInfo(id=name, sha=commits[revision or "main"])

        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
        assert fingerprint("owner/name") == fingerprint("owner/name@v1")
        assert fingerprint("owner/name") != fingerprint("owner/name@v2")
        assert fingerprint("owner/name") != fingerprint("owner/other")

    def test_hub_name_without_a_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        assert fingerprint("owner/name") != fingerprint("owner/name@v2")
