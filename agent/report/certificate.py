"""What an audit says, in sentences: the same on the page, in the terminal and on the cards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from agent.certifying import Certificate, More, Part, Share, Tested
from agent.report.wording import NARROW_SPACE, count, decimal, percent

ACCURACY = "accuracy"


def headline(found: Certificate) -> str:
    """What was found, in one sentence."""
    if found.test is not None:
        return _test(found.test)
    if found.share is None:
        return f"nothing is known yet: none of {_items(found.items)} is judged"
    said = _share(found.share)
    return said if found.is_final else f"so far, and not final: {said}"


def lines(found: Certificate) -> list[str]:
    """What was found, of what, and what more would take."""
    if found.share is None and found.test is None:
        return [f"{headline(found)}, of {_of(found)}"]
    said = [f"{headline(found)}: of {_of(found)}"]
    if found.judged < found.items:
        said.append(_left(found))
    if found.share is not None and found.share.labels < found.population:
        some = f"{count(found.share.labels)} of the {count(found.population)} labels"
        said.append(f"it speaks of {some} as yet: of the others, which are doubted otherwise, no item is judged")
    if found.test is not None and found.test.unknown:
        said.append(
            f"{count(found.test.unknown)} of the items were skipped: they count as wrong where fewer errors are to "
            "be shown, and as right where more are"
        )
    return said + [_more(m, found.judged) for m in found.more]


def certificate(found: Sequence[Certificate]) -> str | None:
    """The newest certificate among audits, as one sentence with its number; None where none is finished."""
    done = [c for c in found if (c.is_final and c.share is not None) or (c.test and c.test.verdict != "open")]
    return f"audit {done[-1].id}: {headline(done[-1])}: of {_of(done[-1])}" if done else None


def part(found: Part) -> tuple[str, str, str, str]:
    """A row of a table: name, share, interval, from how many items of how many labels."""
    ends = f"{_number(found.lo)} to {_number(found.hi)}"
    return found.name, percent(found.value), ends, f"{count(found.items)} of {count(found.labels)}"


def _share(found: Share) -> str:
    ends = f"{percent(found.level, 0)} interval {_number(found.lo)} to {_number(found.hi)}"
    return f"accuracy {percent(found.value)}, {ends}, from {_blind(found.items)}, estimator {found.estimator}"


def _test(found: Tested) -> str:
    limit = _limit(found.limit)
    wrong = f"{count(found.errors)} of them wrong"
    sure = f"(alpha {found.alpha:g}) after {_blind(found.items)}, {wrong}"
    if found.verdict == "accept":
        return f"error is under {limit}: shown {sure}"
    if found.verdict == "reject":
        return f"error is over {limit}: shown {sure}"
    evidence = f"evidence that it is under {_evidence(found.below)}, that it is over {_evidence(found.above)}"
    return f"error is under {limit}: not shown yet after {_blind(found.items)}, {wrong}; {evidence} of {found.bar:g}"


def _of(found: Certificate) -> str:
    said = f"the {count(found.population)} labels that machines had given on {_day(found.drawn_at)}"
    others = [(found.people, "people’s"), (found.seeds, "the seed’s")]
    more = [f"{who} {count(n)}" for n, who in others if n]
    if not more:
        return said
    one = sum(n for n, _ in others) == 1
    return f"{said}; {' and '.join(more)} label{' is' if one else 's are'} not part of it"


def _left(found: Certificate) -> str:
    decided = found.test is not None and found.test.verdict != "open"
    if decided:
        rest = found.items - found.judged - found.skipped
        return f"{count(found.judged)} of {_items(found.items)} were judged; the other {count(rest)} wait for nobody"
    said = f"{count(found.judged)} of {_items(found.items)} are judged, {count(found.left)} wait for a person"
    return said + (f", {count(found.skipped)} were skipped and are not part of it" if found.skipped else "")


def _more(more: More, judged: int) -> str:
    items = f"{count(more.items)} more item{'s' if more.items != 1 else ''}, {count(judged + more.items)} in all"
    return f"an interval of ±{100 * more.margin:g} point{'s' if more.margin != 0.01 else ''} takes {items}"


def _blind(items: int) -> str:
    return f"{count(items)} blind item{'s' if items != 1 else ''}"


def _items(items: int) -> str:
    return f"{count(items)} item{'s' if items != 1 else ''}"


def _limit(share: float) -> str:
    return f"{100 * share:g}{NARROW_SPACE}%"


def _evidence(found: float) -> str:
    return decimal(found) if found < 1 else f"{found:,.1f}" if found < 1000 else count(found)


def _number(share: float) -> str:
    """A share in per cent, without the sign."""
    return f"{100 * share:.1f}"


def _day(stamp: str) -> str:
    at = datetime.fromisoformat(stamp)
    return f"{at.day} {at:%B %Y}"
