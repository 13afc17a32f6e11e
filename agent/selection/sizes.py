"""How many texts to ask about at once, where the job says `auto`."""

from __future__ import annotations

ROUNDS = 10  # rounds that the budget should last for: each teaches the student what the next should ask
SLOW_ROUNDS = 3  # the same where a round may take a day, as a provider's batches do
MOST_A_ROUND = 10_000
UNTAUGHT = 20_000  # where nobody learns from a round: as many as are held in memory while they are asked about


def auto_cold_start(classes: int, affordable: int, candidates: int) -> int:
    """The size of the first batch: two texts a class, 10 to 200 in all (20 for tasks without classes).

    Never more than half of what the budget affords, so that something is left to choose by; at least one text
    where there is any, and never more than there are.
    """
    size = max(10, min(200, 2 * classes)) if classes else 20
    return max(0, min(size, max(1, affordable // 2), affordable, candidates))


def auto_batch(affordable: int, candidates: int, asked: int = 0, rounds: int = ROUNDS) -> int:
    """The size of a later batch: a tenth of the whole job, 10 to 1,000, and never more than can still be asked.

    With fewer `rounds` than ten, each is a larger part of the job, and at most 10,000 texts: one wave of answers a
    round, so that the waiting does not add up.

    Args:
        affordable: questions that the rest of the budget surely pays for.
        candidates: texts without a label.
        asked: texts asked about so far. Without it batches shrink from round to round, and there are more of them.
    """
    left = max(0, min(affordable, candidates))
    most = 1000 if rounds == ROUNDS else MOST_A_ROUND
    return min(left, max(10, min(most, (left + asked) // rounds)))
