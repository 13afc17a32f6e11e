"""Marks that need an argument."""

from __future__ import annotations

from typing import Any

import pytest


def storm(*values: Any) -> list[Any]:
    """Parameters of `make storm` alone: `make test` runs the test with its others."""
    return [pytest.param(value, marks=pytest.mark.storm) for value in values]
