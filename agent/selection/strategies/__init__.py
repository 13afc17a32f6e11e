"""What a text is worth asking about: one file a family, each class a strategy that the job file can name.

`ALL` is what the registry knows. The formulas themselves are plain functions on arrays beside each class.
"""

from collections.abc import Callable

from agent.selection.seam import Strategy
from agent.selection.strategies.anchors import Anchored
from agent.selection.strategies.badge import Badge
from agent.selection.strategies.balance import Balanced
from agent.selection.strategies.bandit import Bandit
from agent.selection.strategies.bayesian import Bald, Epig
from agent.selection.strategies.cluster_margin import ClusterMargin
from agent.selection.strategies.committee import Committee
from agent.selection.strategies.contrastive import Contrastive
from agent.selection.strategies.coreset import KCenter
from agent.selection.strategies.density import Density
from agent.selection.strategies.difficulty import ExpectedError
from agent.selection.strategies.fusion import Adaptive, Fusion
from agent.selection.strategies.kmeans import KMeans
from agent.selection.strategies.knowledge import Knowledge
from agent.selection.strategies.power import Power
from agent.selection.strategies.priced import Priced
from agent.selection.strategies.probcover import ProbCover
from agent.selection.strategies.reduction import ErrorReduction
from agent.selection.strategies.trusted import Trusted
from agent.selection.strategies.typical import TypiClust
from agent.selection.strategies.uncertainty import Entropy, LeastConfidence, Margin, Random

ALL: tuple[Callable[..., Strategy], ...] = (
    Random,
    LeastConfidence,
    Margin,
    Entropy,
    Committee,
    Bald,
    Epig,
    ExpectedError,
    ErrorReduction,
    KCenter,
    KMeans,
    Density,
    Badge,
    ClusterMargin,
    Contrastive,
    TypiClust,
    ProbCover,
    Anchored,
    Knowledge,
    Power,
    Balanced,
    Priced,
    Trusted,
    Fusion,
    Adaptive,
    Bandit,
)

__all__ = [
    "ALL",
    "Adaptive",
    "Anchored",
    "Badge",
    "Balanced",
    "Bald",
    "Bandit",
    "ClusterMargin",
    "Committee",
    "Contrastive",
    "Density",
    "Entropy",
    "Epig",
    "ErrorReduction",
    "ExpectedError",
    "Fusion",
    "KCenter",
    "KMeans",
    "Knowledge",
    "LeastConfidence",
    "Margin",
    "Power",
    "Priced",
    "ProbCover",
    "Random",
    "Trusted",
    "TypiClust",
]
