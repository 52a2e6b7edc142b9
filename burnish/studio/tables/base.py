"""The class of all tables, and the types of their columns.

Times are whole milliseconds since 1970 in UTC, so that both engines hold and compare the same numbers. Lists and
mappings are JSON. Constraints have names, because migrations need them.
"""

from __future__ import annotations

from typing import Annotated, Any

from sqlalchemy import JSON, BigInteger, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column

Key = Annotated[int, mapped_column(primary_key=True)]
Moment = Annotated[int, mapped_column(BigInteger)]
"""Milliseconds since 1970, UTC."""

Word = Annotated[str, mapped_column(String(200))]
Prose = Annotated[str, mapped_column(Text)]
Plain = Annotated[Any, mapped_column(JSON(none_as_null=True))]
"""Lists, mappings, strings and numbers, as JSON; None is NULL."""


class Base(DeclarativeBase):
    """The root of the models; its metadata is the schema."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
