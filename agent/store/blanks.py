"""The blanks of statements that are made once and filled in each time.

To make a statement of SQLAlchemy costs several times what SQLite takes to run it, so those that every click on the
review page runs are made once (`functools.cache` on what makes them). Names begin with `its_`, as names of columns
are taken in an INSERT.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Integer, String, bindparam

from agent.store.columns import AnyText, Id, Texts, Utc

JOB: BindParameter[str] = bindparam("its_job", type_=String())
TEXT: BindParameter[str] = bindparam("its_text", type_=AnyText())
TEXTS: BindParameter[Any] = bindparam("its_texts", type_=Texts())
PEOPLE: BindParameter[Any] = bindparam("its_people", type_=Texts())
PERSON: BindParameter[str] = bindparam("its_person", type_=AnyText())
AT: BindParameter[Any] = bindparam("its_at", type_=Utc())
LIMIT: BindParameter[int] = bindparam("its_limit", type_=Integer())
NUMBER: BindParameter[int] = bindparam("its_number", type_=Id)

OneText: TypeAlias = str | BindParameter[str]
"""A text's id, a person or a job: itself, or the blank for it."""
