"""Texts in: the pool and labelled files read, copies found, vectors kept on disk."""

from __future__ import annotations

from agent.pool.embeddings import Embeddings
from agent.pool.labelled import read_labelled
from agent.pool.pool import Copies, Copy, Pool

__all__ = ["Copies", "Copy", "Embeddings", "Pool", "read_labelled"]
