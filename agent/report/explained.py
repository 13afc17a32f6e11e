"""Why these texts: what was picked, by which reason and which strategy, with a few examples in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.picture import quoted
from agent.records import Label, MicroDollars, TextId
from agent.report.sums import NOTHING
from agent.report.wording import plain
from agent.selection.reasons import cause, expected_price, in_words
from agent.store import PickRow, RoundCost, RouteRow

EXAMPLES = 3  # of each slice
TEXT_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Slice:
    """Texts that were picked for one reason: how many, how many of them have a label, and what asking them cost.

    `chance` holds the least and the largest recorded chance of inclusion, None where the numbers alone chose; `draws`
    is how many texts have the chance of a draw on record instead (strategy `power`).
    """

    name: str
    because: str
    picked: int = 0
    labelled: int = 0
    cost: MicroDollars = NOTHING
    chance: tuple[float, float] | None = None
    draws: int = 0


@dataclass(frozen=True, slots=True)
class PickedText:
    """One picked text and why it was picked, in words. `price` is what asking it was expected to cost, in
    micro-dollars, where that was known."""

    id: str
    text: str
    round: int
    slice: str
    because: str
    probability: float | None = None
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Picked:
    """Why these texts: by slice, by the strategy (or arm of one) that chose, and a few examples of each.

    `expected` is the mean price that selection reckoned with, `paid` what a picked text truly cost, micro-dollars.
    """

    slices: tuple[Slice, ...] = ()
    strategies: tuple[tuple[str, int], ...] = ()
    examples: tuple[PickedText, ...] = ()
    expected: float | None = None
    paid: float | None = None


def explained(
    picks: Sequence[PickRow],
    current: Mapping[TextId, Label],
    routes: Mapping[TextId, RouteRow],
    costs: Sequence[RoundCost],
    audited: Collection[TextId] = (),
) -> Picked:
    """Why texts were picked, in the order of picking.

    No example is a text that is judged blind, as those are that an audit drew (`audited`): its rank alone would tell
    how sure the machine was.
    """
    if not picks:
        return Picked()
    by_slice: dict[str, list[PickRow]] = {}
    for pick in picks:
        by_slice.setdefault(pick.slice, []).append(pick)
    prices = [p for pick in picks if (p := expected_price(pick.why)) is not None]
    hidden = {i for i, r in routes.items() if r.blind} | set(audited)
    shown = [[p for p in rows if p.text_id not in hidden] for rows in by_slice.values()]
    return Picked(
        slices=tuple(_slice(name, rows, current, costs) for name, rows in by_slice.items()),
        strategies=tuple(Counter(_strategy(p) for p in picks if p.slice != "random").most_common()),
        examples=tuple(e for rows in shown for e in _examples(rows)),
        expected=sum(prices) / len(prices) if prices else None,
        paid=sum(c.cost for c in costs) / len(picks),
    )


def _slice(name: str, rows: Sequence[PickRow], current: Mapping[TextId, Label], costs: Sequence[RoundCost]) -> Slice:
    chances = [p.probability for p in rows if p.probability is not None]
    return Slice(
        name=name,
        because=_because(Counter(cause(name, p.why) for p in rows)),
        picked=len(rows),
        labelled=sum(p.text_id in current for p in rows),
        cost=MicroDollars(sum(c.cost for c in costs if c.slice == name)),
        chance=(min(chances), max(chances)) if chances else None,
        draws=sum("chance_of_first_draw" in p.why for p in rows),
    )


def _because(causes: Counter[str]) -> str:
    """Why a slice was picked; with how many of its texts each reason holds for, where there are several."""
    if len(causes) == 1:
        return next(iter(causes))
    return "; ".join(f"{said} ({n})" for said, n in causes.most_common())


def _strategy(pick: PickRow) -> str:
    """Who chose: the strategy, and the arm of it where it has arms."""
    by, arm = pick.why.get("strategy"), pick.why.get("arm")
    name = plain(by, 60) if isinstance(by, str) else "not noted"
    return f"{name}: {plain(arm, 60)}" if isinstance(arm, str) else name


def _examples(rows: Sequence[PickRow]) -> list[PickedText]:
    """The first, the last and one between: how picking changed over the rounds."""
    places = sorted({0, len(rows) // 2, len(rows) - 1}) if rows else []
    return [
        PickedText(
            id=rows[i].text_id,
            text=plain(quoted(rows[i].text), TEXT_CHARACTERS),
            round=rows[i].round,
            slice=rows[i].slice,
            because=plain(in_words(rows[i].slice, rows[i].why, rows[i].probability), 400) or "no reason was noted",
            probability=rows[i].probability,
            price=expected_price(rows[i].why),
        )
        for i in places[:EXAMPLES]
    ]
