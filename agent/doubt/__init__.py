"""How far oracles can be trusted: a preference for some labels, confidence, confusion, which labels look
wrong, and what a person's second is worth at each.

Pure functions of numbers; knows no text, no oracle and no store.
"""

from agent.doubt.calibration import Calibration, Given, lead
from agent.doubt.confident import confidently_other
from agent.doubt.noise import RULES, Consensus, Rules, Voice, believed, by_its_own_word, consensus, in_effect, smeared
from agent.doubt.prior import CONTENT_FREE, Prior
from agent.doubt.suspicion import SIGNS, ErrorModel, of_neighbours, of_student
from agent.doubt.value import Pace

__all__ = [
    "CONTENT_FREE",
    "RULES",
    "SIGNS",
    "Calibration",
    "Consensus",
    "ErrorModel",
    "Given",
    "Pace",
    "Prior",
    "Rules",
    "Voice",
    "believed",
    "by_its_own_word",
    "confidently_other",
    "consensus",
    "in_effect",
    "lead",
    "of_neighbours",
    "of_student",
    "smeared",
]
