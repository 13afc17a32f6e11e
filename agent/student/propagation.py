"""What can be learnt beside labels: from the classes' names, labels spread over a graph, the head's own sure guesses.

Pure functions of arrays; the last two give further rows, soft targets and weights for the head. Knows no text and no
pool. They hold n·k numbers and work block by block, for n of some ten thousand: of a larger pool, give a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.records import Floats, Rows

if TYPE_CHECKING:
    import numpy.typing as npt
    from scipy.sparse import csr_array

NEIGHBOURS = 15
SHARPNESS = 3.0
"""Power of the cosine, as in Iscen et al. 2019."""
ALPHA = 0.9
"""The share of a text's label that comes from its neighbours."""
STEPS, CLOSE = 50, 1e-4
BLOCK = 1024


@dataclass(frozen=True)
class Extra:
    """Further lessons for the head.

    Attributes:
        rows: (m,) int64, ascending, none of a labelled text.
        targets: (m, C) float32, soft; rows sum to one.
        weights: (m,) float32, above zero and at most one; a label that was given counts one.
    """

    rows: Rows
    targets: Floats
    weights: Floats


def affinity(vectors: Floats, neighbours: int = NEIGHBOURS) -> csr_array:
    """(n, n) sparse, symmetric, scaled so that its largest eigenvalue is one: S of Zhou et al. 2004.

    Each text is joined to the nearest by cosine, as strongly as max(cosine, 0) ** SHARPNESS. O(n² d) time in blocks
    of O(BLOCK · n) memory; vectors are (n, d) of length one. Rounding of the cosines to six places keeps equals
    equal, so that the graph is the same on any number of threads.
    """
    from scipy.sparse import coo_array, diags_array

    n, k = len(vectors), min(neighbours, len(vectors) - 1)
    if k < 1:
        return coo_array((n, n), dtype=np.float32).tocsr()
    columns, strengths = np.empty((n, k), np.int64), np.empty((n, k), np.float32)
    for start in range(0, n, BLOCK):
        block = slice(start, min(n, start + BLOCK))
        cosines = np.round(vectors[block] @ vectors.T, 6)
        cosines[np.arange(len(cosines)), np.arange(block.start, block.stop)] = -np.inf
        columns[block] = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        strengths[block] = np.take_along_axis(cosines, columns[block], axis=1)
    strengths = np.maximum(strengths, 0) ** np.float32(SHARPNESS)
    one_way = coo_array((strengths.ravel(), (np.repeat(np.arange(n), k), columns.ravel())), shape=(n, n)).tocsr()
    both = one_way.maximum(one_way.T)
    degree = np.asarray(both.sum(axis=1), np.float32).ravel()
    scale = diags_array(1 / np.sqrt(np.maximum(degree, 1e-12)))
    return (scale @ both @ scale).tocsr().astype(np.float32)


def spread(graph: csr_array, start: Floats, alpha: float = ALPHA) -> Floats:
    """(n, C) float32: the F that solves (I - alpha S) F = Y, by conjugate gradients on all columns at once.

    Args:
        graph: (n, n), of `affinity`.
        start: (n, C), Y: the targets of labelled texts, zero for others.

    Zhou et al. 2004, "Learning with local and global consistency", without its constant factor.
    """

    def times(x: Floats) -> Floats:
        out: Floats = x - np.float32(alpha) * (graph @ x)
        return out

    found = np.zeros_like(start)
    left = start.copy()
    direction = left.copy()
    size = np.einsum("nc,nc->c", left, left)
    enough = CLOSE**2 * np.maximum(size, 1e-12)
    for _ in range(STEPS):
        if (size <= enough).all():
            break
        turned = times(direction)
        length = size / np.maximum(np.einsum("nc,nc->c", direction, turned), 1e-12)
        found += length * direction
        left -= length * turned
        new = np.einsum("nc,nc->c", left, left)
        direction = left + (new / np.maximum(size, 1e-12)) * direction
        size = new
    return np.maximum(found, 0)


def are_telling(class_vectors: Floats, vectors: Floats, targets: Floats) -> bool:
    """Whether the classes' names say what the classes are: more labelled texts are nearest to their own class's name
    than chance would have it, one in C. Names such as A and B say nothing.

    Args:
        class_vectors: (C, d) of length one.
        vectors: (n, d) of length one, of labelled texts.
        targets: (n, C) soft targets.
    """
    nearest = (vectors @ class_vectors.T).argmax(axis=1)
    return bool((nearest == targets.argmax(axis=1)).mean() > 1 / len(class_vectors))


def propagated(vectors: Floats, labelled: Rows, targets: Floats, *, weight: float = 0.3) -> Extra:
    """Every text that labels reach over the graph, weighted by how sure it is: `weight` · (1 - entropy / log C).

    Args:
        vectors: (n, d) of length one.
        labelled: (l,) rows of those with labels.
        targets: (l, C) soft targets of these.
        weight: of a text that is wholly sure.

    Iscen et al. 2019, "Label propagation for deep semi-supervised learning", eq. 8. Classes are made equally strong
    first (class mass normalisation of Zhu et al. 2003), so that the most frequent does not flood the graph.
    """
    start = np.zeros((len(vectors), targets.shape[1]), np.float32)
    start[labelled] = targets / np.maximum(targets.sum(axis=0), 1.0)
    found = spread(affinity(vectors), start)
    total = found.sum(axis=1)
    rows = np.setdiff1d(np.flatnonzero(total > 0), labelled)
    soft = found[rows] / total[rows, None]
    doubt = -(soft * np.log(np.maximum(soft, 1e-12))).sum(axis=1) / np.log(max(2, targets.shape[1]))
    sure = (weight * (1 - doubt)).astype(np.float32)
    kept = sure > 0.01 * weight
    return Extra(rows[kept], soft[kept], sure[kept])


def self_trained(probabilities: Floats, labelled: Rows, *, per_class: int, weight: float = 0.3) -> Extra:
    """The head's surest guesses, as many for each class, each as a hard label of weight `weight` · its probability.

    Args:
        probabilities: (n, C) of all texts.
        labelled: (l,) rows of those with labels, which are left out.
        per_class: most guesses for one class.

    Self-training with class-balanced selection (Zou et al. 2018, "Class-balanced self-training", arXiv 1810.07911).
    Ties go to the earlier row.
    """
    free = np.setdiff1d(np.arange(len(probabilities)), labelled)
    said = probabilities[free].argmax(axis=1)
    sure = np.round(probabilities[free, said], 6)
    order = np.lexsort((free, -sure, said))
    first = np.searchsorted(said[order], said[order], side="left")
    kept: npt.NDArray[Any] = np.sort(order[np.arange(len(order)) - first < per_class])
    targets = np.zeros((len(kept), probabilities.shape[1]), np.float32)
    targets[np.arange(len(kept)), said[kept]] = 1
    return Extra(free[kept], targets, (weight * sure[kept]).astype(np.float32))
