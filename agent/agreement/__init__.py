"""How far several who label the same texts agree: beyond chance, each label by itself, with intervals, and how much
of it comes from seeing what a machine said.

Pure functions of numbers; knows no text, no person and no store.
"""

from agent.agreement.anchoring import Band, Difference, anchored
from agent.agreement.coefficients import Coefficient, Figure, agreed, cohen, fleiss_and_krippendorff
from agent.agreement.kappa import cohens_kappa

__all__ = [
    "Band",
    "Coefficient",
    "Difference",
    "Figure",
    "agreed",
    "anchored",
    "cohen",
    "cohens_kappa",
    "fleiss_and_krippendorff",
]
