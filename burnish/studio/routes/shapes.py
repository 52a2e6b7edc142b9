"""Parts that the routes' bodies and addresses are made of: checked texts, numbers that a database can hold."""

from __future__ import annotations

from typing import Annotated

import pydantic
from fastapi import Path
from pydantic import Field

from burnish.studio.contents import Text

Short = Annotated[Text, Field(max_length=200)]
Long = Annotated[Text, Field(max_length=4000)]
Languages = Annotated[list[Annotated[Text, Field(max_length=40)]], Field(max_length=100)]
Number = Annotated[int, Path(ge=1, le=2**31 - 1)]
Slug = Annotated[str, Path(pattern=r"^[a-z0-9-]{1,60}$")]


class Body(pydantic.BaseModel):
    """A request's body: what is not declared is refused."""

    model_config = pydantic.ConfigDict(extra="forbid")


class Refusal(pydantic.BaseModel):
    """What a browser gets in place of what it asked for."""

    code: str
    message: str
