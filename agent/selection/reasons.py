"""Why a text was picked, in words: what selection noted of its choice, as a person reads it.

One place for the review page and the report, so that both say the same. Knows no text; what it is given may come from
a strategy of a user's own, so whatever it does not know is written as it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

SHOWN = 4  # notes of a kind that nobody described here: more would be a dump
NAMED = 3  # entities that are named one by one
LONGEST = 80

CAUSES = {
    "cold": "it is typical of a group of similar texts",
    "unsure": "the small model was unsure here",
    "least_sure": "of a group of similar texts the small model was least sure of it",
    "nothing_new": "nothing new was left to cover, and the small model was unsure here",
    "named": "it sounds like what a class is called",
    "uncovered": "nothing like it had been labelled yet",
    "random": "it was drawn at random",
    "again": "its label looked doubtful, so it was asked about again",
}
BY_STRATEGY = {
    "badge": "the small model would learn much from it, and something else than from the others of its batch",
    "balanced": "it may belong to a class that has few labels",
    "bald": "what the small model could be disagrees here",
    "cluster_margin": "the small model was unsure here, and each group of similar texts has its turn",
    "committee": "small models taught on samples of the labels disagree here",
    "contrastive": "the small model says something else here than of its nearest neighbours",
    "density": "the small model was unsure here, and many texts are like it",
    "epig": "knowing its label would make the small model surer of the pool",
    "error_reduction": "knowing its label is expected to leave the fewest errors in the pool",
    "expected_error": "the small model is likely to be wrong here",
    "k_center": "nothing near it had been labelled yet",
    "k_means": "it is the middle of a group of similar texts",
    "knowledge": "it mentions what no labelled text does",
    "power": "it was drawn by chance, the more doubtful a text the likelier",
    "priced": "it promises much for what asking it costs",
    "probcover": "many texts lie near it that no labelled text is near to",
    "trusted": "the small model was unsure here, where the oracle is likely to be right",
    "typiclust": "it is typical of a group of similar texts that has few labels",
}


def cause(part: str, why: Mapping[str, Any]) -> str:
    """Why at all, as a clause after `because`; empty where nothing is known. `part` is the slice."""
    if part == "unsure":
        arm = why.get("arm")
        by = arm if isinstance(arm, str) else why.get("strategy")
        if by == "knowledge" and not why.get("covers", True):
            return CAUSES["nothing_new"]
        if isinstance(by, str) and by in BY_STRATEGY:
            return BY_STRATEGY[by]
        if (_whole(why.get("cluster_size")) or 0) > 1:  # spread over groups: its rank need not be high
            return CAUSES["least_sure"]
    if part == "cold" and why.get("strategy") == "zero_shot":
        return CAUSES["named"]
    return CAUSES.get(part, "")


def notes(part: str, why: Mapping[str, Any], probability: float | None = None) -> str:
    """The figures behind it, in words: rank, group, distance, what it covers, the arm, its chance, its price."""
    if part == "random":
        told = [_drawn(why), _price(why)]
    else:
        told = [say(why) for say in SAYERS if not (say is _rank and part == "uncovered")]
        told.append("" if probability is None else f"a chance of {_percent(probability)} to be picked")
        told += _others(why)
    return ", ".join(t for t in told if t)


def in_words(part: str, why: Mapping[str, Any], probability: float | None = None) -> str:
    """Both in one: `the small model was unsure here (rank 3 of 700 by margin)`."""
    because, figures = cause(part, why), notes(part, why, probability)
    if because and figures:
        return f"{because} ({figures})"
    return because or figures


def _rank(why: Mapping[str, Any]) -> str:
    if "rank" not in why or "of" not in why:
        return ""
    by = _said(why.get("strategy"))
    return f"rank {_said(why['rank'])} of {_said(why['of'])}{f' by {by}' if by else ''}"


def _drawn(why: Mapping[str, Any]) -> str:
    drawn, of = _whole(why.get("drawn")), _whole(why.get("of"))
    return f"{drawn:,} of {of:,}, a chance of {_percent(drawn / of)} each" if drawn is not None and of else ""


def _arm(why: Mapping[str, Any]) -> str:
    arm = _said(why.get("arm"))
    mean = why.get("arm_mean")
    promise = f", expected reward {_said(mean)}" if isinstance(mean, float) and math.isfinite(mean) else ""
    return f"the turn of {arm}{promise}" if arm else ""


def _group(why: Mapping[str, Any]) -> str:
    number, held = _whole(why.get("cluster")), _whole(why.get("labelled_in_cluster"))
    for name, of in (("cluster_size", ""), ("cluster_on_shortlist", " on the shortlist")):
        if (size := _whole(why.get(name))) is not None:
            said = f"a group of {size:,}{of}"
            said += "" if number is None else f" (number {number})"
            return said + ("" if held is None else f", {held:,} of them labelled before")
    return "" if number is None else f"group {number}"


def _distance(why: Mapping[str, Any]) -> str:
    distance = _said(why.get("distance"))
    return f"distance {distance}" if distance else ""


def _class(why: Mapping[str, Any]) -> str:
    for name in ("short_class", "class", "for_class"):
        if (place := _whole(why.get(name))) is not None:
            return f"class number {place + 1} of the job’s list"
        if (said := _said(why.get(name))) and not isinstance(why.get(name), float):
            p = why.get("probability")
            likely = f" with probability {_said(p)}" if isinstance(p, float) and math.isfinite(p) else ""
            return f"class {said}{likely}"
    return ""


def _covers(why: Mapping[str, Any]) -> str:
    covers = why.get("covers", why.get("entities"))
    if not isinstance(covers, list | tuple) or not covers:
        return ""
    names = [str(c)[:LONGEST] for c in covers[:NAMED]]
    more = max(_whole(why.get("new")) or 0, len(covers)) - len(names)
    return f"new: {', '.join(names)}{f' and {more:,} more' if more > 0 else ''}"


def _price(why: Mapping[str, Any]) -> str:
    price = expected_price(why)
    return "" if price is None else f"about ${price / 1e6:.3g} to ask"


def expected_price(why: Mapping[str, Any]) -> float | None:
    """What asking was expected to cost, micro-dollars; None where it was not noted."""
    price = why.get("price", why.get("price_microdollars"))
    good = isinstance(price, int | float) and not isinstance(price, bool) and math.isfinite(price) and price > 0
    return float(price) if good and isinstance(price, int | float) else None


SAYERS: tuple[Callable[[Mapping[str, Any]], str], ...] = (_rank, _arm, _group, _distance, _class, _covers, _price)
KNOWN = {
    "strategy", "score", "rank", "of", "drawn", "arm", "arm_mean", "arm_drew", "arm_says", "cluster", "cluster_size",
    "cluster_on_shortlist", "clusters_on_shortlist", "labelled_in_cluster", "clusters", "shortlist", "looked_at",
    "distance", "short_class", "class", "for_class", "probability", "covers", "entities", "new", "price",
    "price_microdollars", "noise", "chosen_for", "typicality",
}  # fmt: skip


def _others(why: Mapping[str, Any]) -> list[str]:
    """Notes that nobody described here: by their own names, a few."""
    more = [(name.replace("_", " "), _said(value)) for name, value in why.items() if name not in KNOWN]
    told = [f"{name} {value}" for name, value in more if value]
    if "rank" not in why and (chosen := _said(why.get("chosen_for"))):
        told.insert(0, f"chosen for {chosen}")
    return told[:SHOWN]


def _said(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if math.isfinite(value) else ""
    return str(value)[:LONGEST]


def _whole(value: object) -> int | None:
    """A count, where it is one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
