"""Half precision to single: held against NumPy's own conversion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.pool.half import STEP, widen

EVERY = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = EVERY[np.isfinite(EVERY)]


def test_every_finite_half_is_converted_to_the_last_bit() -> None:
    found = widen(FINITE, np.empty(FINITE.shape, np.float32))
    np.testing.assert_array_equal(found.view(np.int32), FINITE.astype(np.float32).view(np.int32))


def test_what_is_no_finite_number_stays_what_it_is() -> None:
    for odd in EVERY[~np.isfinite(EVERY)]:
        block = np.array([1.5, odd, -2.5], np.float16)
        np.testing.assert_array_equal(widen(block, np.empty(3, np.float32)), block.astype(np.float32))


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_any_shape_keeps_its_shape(n: int, d: int, seed: int) -> None:
    block = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float16)
    np.testing.assert_array_equal(widen(block, np.empty((n, d), np.float32)), block.astype(np.float32))


@pytest.mark.parametrize("n", [STEP - 1, STEP, STEP + 1, 2 * STEP + 1])
def test_blocks_meet_without_a_gap(n: int) -> None:
    block = np.random.default_rng(n).standard_normal(n).astype(np.float16)
    np.testing.assert_array_equal(widen(block, np.empty(n, np.float32)), block.astype(np.float32))
