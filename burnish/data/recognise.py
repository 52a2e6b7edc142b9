"""Which format rows have, and the examples of a row under a format.

A format is recognised by the fields of the first rows. If they fit none, or several equally well, the message lists
the candidates and says how to choose. Naming a format (`format: messages`) turns recognition off; then only the needed
fields are asked for, and those of other formats become columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burnish.data.formats import FORMATS, Format
from burnish.data.row import Row
from burnish.errors import DataError
from burnish.example import Example


def recognised(rows: Sequence[Row]) -> Format:
    """The format that most of `rows` fit.

    Raises:
        DataError: none fits any row, or several fit equally many.
    """
    fitting = {form.name: [row for row in rows if form.fits(row.fields())] for form in FORMATS}
    most = max(len(fits) for fits in fitting.values())
    if most == 0:
        raise DataError(_unknown(rows[0]))
    best = [form for form in FORMATS if len(fitting[form.name]) == most]
    if len(best) > 1:
        firsts = {form: fitting[form.name][0] for form in best}
        raise DataError(_undecided(firsts))
    return best[0]


def converted(row: Row, form: Format, *, strict: bool) -> list[Example]:
    """The examples of a row.

    Args:
        row: the row.
        form: its format.
        strict: refuse a row whose fields show it to be of another format.

    Raises:
        BadRow: the row does not fit the format, or a field is wrong.
    """
    fields = row.fields()
    if missing := form.missing(fields):
        raise row.wrong(missing[0].split("|")[0], f"the fields of the format {form}{_rather(row)}")
    if strict and (foreign := sorted(fields.intersection(form.lacks))):
        found = f"a field that rows of the format '{form.name}' do not have{_rather(row)}"
        raise row.bad(foreign[0], found, f"rows of one format in a file, or format: {form.name} to keep it as a column")
    return form.convert(row)


def _rather(row: Row) -> str:
    others = [form.name for form in FORMATS if form.fits(row.fields())]
    return f" (this row looks like {' or '.join(others)})" if others else ""


def _unknown(row: Row) -> str:
    lines = [f"{row.file}, row {row.line}: no known format has the fields {', '.join(sorted(row.fields())) or 'none'}"]
    lines += ["expected those of one of:", *(f"  {form}: {form.meaning}" for form in FORMATS)]
    lines += ["if the columns have other names, say which is which, for example: columns: {prompt: question}"]
    return "\n".join(lines)


def _undecided(firsts: Mapping[Format, Row]) -> str:
    names = [form.name for form in firsts]
    places = {(row.file, row.line) for row in firsts.values()}
    row = next(iter(firsts.values()))
    if len(places) == 1:
        lines = [f"{row.file}, row {row.line}: the fields {', '.join(sorted(row.fields()))} fit several formats:"]
        lines += [f"  {form}: {form.meaning}" for form in firsts]
    else:
        lines = [f"{row.file}: the rows are of several formats:"]
        lines += [f"  row {first.line}: {form}" for form, first in firsts.items()]
    return "\n".join([*lines, f"choose one with format: {names[0]} (--format {names[0]})"])
