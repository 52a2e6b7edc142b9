"""The studio: a web app in which people write and judge the data that the trainers read.

Modules, tables, service functions and routes are drawn in docs/studio.md, under "How it is built". In short:

    tables/  database  migrate  backup         what is kept, and where
    people  invitations  sessions  attempts    who is there
    projects  queue  assignment  judgements    work handed out, and what came back
    lineage  agreed  adjudication              what it comes to
    importing  exporting                       files in, files out
    views/                                     numbers about it
    app  guard  access  routes/                the same over HTTP

Services take an open `Session`, the time and plain values, and know nothing of HTTP. This file imports nothing, so that
the rest of the library runs without the extra `studio`.
"""
