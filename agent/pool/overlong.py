"""Cutting a text that is too long at the last word that fits. Pure, but for the counting it is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from agent.pairing import join, split
from agent.records import CountTokens


@dataclass
class _Cut:
    """One text on its way: `ends[:low]` fit in `low_count` tokens, `ends[:high]` take `high_count` and do not fit."""

    text: str
    ends: list[int]
    low: int
    low_count: int
    high: int
    high_count: int

    def guess(self, most: int, turn: int) -> int:
        """How many pieces to try: in proportion to the tokens; every third time the middle, which never stalls."""
        if turn % 3 == 2:
            return (self.low + self.high) // 2
        share = (most - self.low_count) / (self.high_count - self.low_count)
        return min(self.high - 1, max(self.low + 1, self.low + int(share * (self.high - self.low))))

    def learn(self, tried: int, count: int, most: int) -> None:
        if count <= most:
            self.low, self.low_count = tried, count
        else:
            self.high, self.high_count = tried, count


def cut(texts: Sequence[str], counts: Sequence[int], most: int, count_tokens: CountTokens) -> list[str]:
    """Each text up to the last whole word that fits into `most` tokens.

    Words of more than 32 characters (and scripts that write no blanks) are cut inside, every few characters.

    Args:
        texts: texts of more than `most` tokens.
        counts: how many each has.
        most: tokens, as `count_tokens` counts them; adding a word must never lower the count.
    """
    piece = re.compile(rf"\S{{1,{min(32, max(1, most // 4))}}}")
    every = []
    for text, count in zip(texts, counts, strict=True):
        ends = [m.end() for m in piece.finditer(text)]
        every.append(_Cut(text, ends, 0, 0, len(ends), count))
    turn = 0
    while open_cuts := [c for c in every if c.high - c.low > 1]:
        tried = [c.guess(most, turn) for c in open_cuts]
        found = count_tokens([c.text[: c.ends[t - 1]] for c, t in zip(open_cuts, tried, strict=True)])
        for one, t, count in zip(open_cuts, tried, found, strict=True):
            one.learn(t, count, most)
        turn += 1
    return [c.text[: c.ends[c.low - 1]] if c.low else c.text[:1] for c in every]


def cut_pairs(texts: Sequence[str], most: int, count_tokens: CountTokens) -> list[str]:
    """Pairs (`agent.pairing`) whose two texts together fit into `most` tokens: one that takes less than half of them
    leaves the rest to the other."""
    pairs = [split(text) for text in texts]
    sizes = count_tokens([part for pair in pairs for part in pair])
    found = []
    for pair, first, second in zip(pairs, sizes[::2], sizes[1::2], strict=True):
        rooms = (max(1, most // 2, most - second), max(1, most // 2, most - first))
        cuts = (
            cut([part], [size], room, count_tokens)[0] if size > room else part
            for part, size, room in zip(pair, (first, second), rooms, strict=True)
        )
        found.append(join(*cuts))
    return found
