"""How far an oracle can be trusted: its preference for some labels, its confidence, and which labels look wrong.

Pure functions of numbers; knows no text, no oracle and no store.
"""

from agent.doubt.calibration import Calibration, Given, lead
from agent.doubt.prior import CONTENT_FREE, Prior
from agent.doubt.suspicion import SIGNS, ErrorModel, of_neighbours, of_student

__all__ = [
    "CONTENT_FREE",
    "SIGNS",
    "Calibration",
    "ErrorModel",
    "Given",
    "Prior",
    "lead",
    "of_neighbours",
    "of_student",
]
