"""The texts of a set, read again by one refreshed encoder after the other, at half the price.

A refresh tunes an encoder's upper layers only, so what the lower ones make of a text is kept and used for each. A job
does not do this: for a pool of any size that would be far more than its vectors. The vectors are the same.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from agent.distill.race import RefreshSettings
from agent.distill.tower import Tower
from agent.records import Floats, Rows
from agent.student.encoder import BUILTIN, Encoder
from evals import _corpora

MOST_TOKENS = 128


class Reader:
    """Reads pool and test texts of a set."""

    def __init__(self, corpus: _corpora.Corpus) -> None:
        self._rows = np.sort(np.concatenate([corpus.pool, corpus.test]))
        texts = [corpus.texts[i] for i in self._rows.tolist()]
        base = Encoder.load(BUILTIN, max_tokens=MOST_TOKENS)
        self._tower = Tower(base, texts, RefreshSettings().layers, MOST_TOKENS)
        self._inside = ""

    def encode(self, encoder: Encoder, rows: Rows) -> Floats:
        """(n, d) float32 of these texts, by an encoder that was refreshed from the packaged one."""
        import torch

        if self._inside != str(encoder.folder):
            self._tower.become(encoder)
            self._inside = str(encoder.folder)
        with torch.no_grad(), self._tower.upper():
            found: Floats = self._tower.vectors(np.searchsorted(self._rows, rows).tolist()).numpy()
        return found


@lru_cache(maxsize=len(_corpora.SETS))
def _reader(name: str) -> Reader:
    return Reader(_corpora.corpus(name))


def reader_of(corpus: _corpora.Corpus) -> Reader:
    """The reader of a set, made once for each process."""
    return _reader(corpus.name)
