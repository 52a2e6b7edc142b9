"""The data engine: from a raw crawl to documents worth training on, with the fate of every document on record.

    files ──► intake ──► canonical shards ──► pass 1 ──► pass 2 ──► ... ──► documents/ and ledger/

    documents.py   a batch of documents, and what steps share about it (words)
    step.py        the contract: row-wise steps, corpus steps, rules, decisions
    registry.py    the steps by kind
    intake.py      a row as a document, with its flaws, or as an incident
    reading.py     files -> documents and incidents
    members.py     gzip files of several members, past damaged ones
    gathering.py   a task per file: documents -> pieces
    pieces.py      documents of a file -> sorted pieces, so that any shard can be cut from any input
    canonical.py   the order of documents, their shards, and ids that are unique
    cutting.py     a task per shard: pieces -> a canonical shard, and what the intake says of it
    passes.py      which steps run together, and the task that takes one shard through them
    finishing.py   a task per shard: the end of every document
    engine.py      the driver: gather, cut, pass after pass, finish; resumes what was killed
    pool.py        tasks in local processes; `ray_pool.py` the same on Ray
    atomic.py      files that are whole or not there
    room.py        where a run keeps what
    ledger.py      the record: one table per step, one of all documents
    counting.py    tokens of texts, where a tokenizer is named
    record.py      a finished run as it is read again
    explain.py     why a document was kept or dropped
    what_if.py     what another threshold would change, from the record alone
    words.py, lines.py, ngrams.py   what rules count
    python_docs.py documents from the Python that runs
    steps/         one file per step

The output does not depend on how the input is cut into files, on the number of workers, or on the order in which they
finish: all that follows the intake sees canonical shards only (`canonical.py`).
"""
