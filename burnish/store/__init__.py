"""Content-addressed artefacts and their lineage. Knows nothing of stages or settings classes, only plain data.

runs/store/sft-3f2a9c0d11e84b57/          a finished artefact; its run.json was written last, then it was renamed
runs/store/dpo-9d0c….part/                an unfinished one; the same stage goes on there
runs/store/.dpo-9d0c….lock                held by the process that works in it
runs/store/.columns/reference_logp-….json numbers per completion that runs share

content.py     what stands in a file, folder, artefact or hub repository -> its key
identity.py    verb, settings, input keys, source text, versions -> the key of an artefact
lock.py        one process per folder
record.py      run.json, read and written whole
columns.py     what is computed once and shared by runs: reference log-probs
artefacts.py   find, explain and collect artefacts
"""

from burnish.store.artefacts import PART, Garbage, collect, explain, find, garbage
from burnish.store.columns import column_file, columns_folder, read_column, write_column
from burnish.store.content import content_key, run_folder_of
from burnish.store.identity import Code, Difference, Identity, differences, identity, source_keys
from burnish.store.lock import is_locked, locked
from burnish.store.record import RECORD, read_record, write_record

__all__ = [
    "PART",
    "RECORD",
    "Code",
    "Difference",
    "Garbage",
    "Identity",
    "collect",
    "column_file",
    "columns_folder",
    "content_key",
    "differences",
    "explain",
    "find",
    "garbage",
    "identity",
    "is_locked",
    "locked",
    "read_column",
    "read_record",
    "run_folder_of",
    "source_keys",
    "write_column",
    "write_record",
]
