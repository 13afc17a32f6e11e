"""How right the delivered labels are: a sample with known chances, an estimate with an interval, a test that stops.

Numbers in, numbers out: knows no text, no store and no person.
"""

from agent.audit.acceptance import Acceptance, Verdict, acceptance, at_most, needed
from agent.audit.estimate import Estimated, Sampled, estimate, more_for
from agent.audit.sampling import Draw, allocate, bands, draw, size_for

__all__ = [
    "Acceptance",
    "Draw",
    "Estimated",
    "Sampled",
    "Verdict",
    "acceptance",
    "allocate",
    "at_most",
    "bands",
    "draw",
    "estimate",
    "more_for",
    "needed",
    "size_for",
]
