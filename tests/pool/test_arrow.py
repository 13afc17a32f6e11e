"""Arrays made of their buffers are those that Arrow makes itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pool.arrow import integers, strings
from agent.pool.arrow import numbers as numbers_of

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(TEXTS)
def test_strings_are_those_of_arrow(values: list[str]) -> None:
    assert strings(values, large=False).equals(pa.array(values, pa.string()))
    assert strings(values, large=True).equals(pa.array(values, pa.large_string()))
    strings(values, large=True).validate(full=True)


@given(st.lists(st.integers(-(2**63), 2**63 - 1)), st.integers(1, 3))
def test_integers_are_those_of_arrow(values: list[int], step: int) -> None:
    numbers = np.array(values, np.int64)[::step]
    made = integers(numbers)
    assert made.equals(pa.array(numbers.tolist(), pa.int64()))
    assert numbers_of(made[1:]).tolist() == numbers[1:].tolist()


def test_more_than_an_array_can_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.pool.arrow.LONGEST", 9)
    assert len(strings(["123456789"], large=False)) == 1
    with pytest.raises(ValueError, match="10 bytes"):
        strings(["1234567890"], large=False)
