"""How a report writes numbers and other people's text: the same on the page, in the terminal and on the data card."""

from __future__ import annotations

import re
from math import floor, log10

NARROW_SPACE = "\u202f"  # between a number and its unit: never breaks the line
MINUS = "\u2212"
REPLACEMENT = "\ufffd"
# controls that are no blanks, marks that turn the direction of what follows, half surrogates
UNSHOWABLE = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# What a figure was measured against (`measured_on`), as a person reads it.
AGAINST = {
    "gold": "against gold labels",
    "people": "against people’s labels",
    "person": "against people’s labels",
    "random slice": "agreement with the oracle only",
    "oracle": "agreement with the oracle only",
}

# Why a text waits for a person, where triage gives a bare word instead of a sentence.
REASONS = {
    "unsure": "the oracle was not sure enough",
    "audit": "audit: an answer that a person checks blind",
    "no confidence": "the oracle gave no confidence",
    "label error": "the label was accepted, and looks wrong",
    "suspect": "it may hold instructions to the oracle",
}

# Why a run stopped, where the loop gives a bare word instead of a sentence.
STOPPED = {
    "budget": "The budget is used up: the next question might have passed the cap.",
    "pool": "Every text of the pool has been asked.",
    "target_accuracy": "The student is surely as good as the job asked for.",
    "gain_per_dollar": "The next dollar is expected to buy too little.",
    "agreement": "Successive students agree: more labels change little.",
    "kappa": "Successive students agree: more labels change little.",
    "max_labels": "The job’s limit of labels is reached.",
    "max_rounds": "The job’s limit of rounds is reached.",
    "minutes": "The people’s minutes are used up.",
    "interrupted": "A person interrupted the run.",
}


def against(measured_on: str) -> str:
    """What a figure was measured against; an unknown name is quoted as it is."""
    return AGAINST.get(measured_on, f"against {plain(measured_on, 60)}")


def is_agreement(measured_on: str) -> bool:
    """Whether a figure is agreement with the oracle, which can be wrong, and not truth."""
    return measured_on in ("random slice", "oracle")


def stopped(reason: str) -> str:
    """A stop reason as a sentence: `budget` as the sentence above, a sentence as itself."""
    return STOPPED.get(reason, plain(reason, 400))


def reason(why: str) -> str:
    """Why a text waits, as a person reads it."""
    kind, colon, more = why.partition(":")
    return plain(f"{REASONS[kind]}{colon}{more}", 400) if kind in REASONS else plain(why, 400)


def dollars(micro: float) -> str:
    """Micro-dollars as dollars of four decimals: `$1.8342`. Below a ten-thousandth of a dollar it says so, rather
    than nothing; from 1,000 dollars two decimals do."""
    size, sign = abs(micro), MINUS if micro < 0 else ""
    if size == 0:
        return "$0"
    if size < 100:
        return f"{sign}<{NARROW_SPACE}$0.0001"
    return f"{sign}${size / 1e6:,.{2 if size >= 1_000_000_000 else 4}f}"


def round_dollars(micro: float) -> str:
    """A sum that somebody named: `$100`; what is no whole number of dollars as `dollars` writes it."""
    return f"${micro / 1e6:,.0f}" if micro and micro % 1_000_000 == 0 else dollars(micro)


def dollars_each(micro: float) -> str:
    """Micro-dollars that one of many things costs, to three digits that count: `$0.0000359`, `$0.0214`, `$1.83`."""
    size = abs(micro) / 1e6
    if size == 0:
        return "$0"
    decimals = max(2, 2 - floor(log10(size)))
    return f"{MINUS if micro < 0 else ''}${size:,.{decimals}f}"


def price(dollars_each: float) -> str:
    """A price in dollars with all its decimals, at least two: `$0.05`, `$0.125`."""
    return f"${dollars_each:,.2f}" if round(dollars_each, 2) == dollars_each else f"${dollars_each:,.10f}".rstrip("0")


def count(number: float) -> str:
    """A whole number with thousands apart: `12,345`."""
    return f"{number:,.0f}".replace("-", MINUS)


def percent(share: float, decimals: int = 1) -> str:
    """A share of one as per cent: 0.8731 is `87.3 %`. Never rounds a share below one up to `100.0 %`, or one above
    none down to `0.0 %`: it shows `> 99.9 %` or `< 0.1 %` instead."""
    step = 10.0**-decimals
    if 1 - step / 200 <= share < 1:
        return f">{NARROW_SPACE}{100 - step:.{decimals}f}{NARROW_SPACE}%"
    if 0 < share < step / 200:
        return f"<{NARROW_SPACE}{step:.{decimals}f}{NARROW_SPACE}%"
    return f"{100 * share:.{decimals}f}{NARROW_SPACE}%"


def share(chance: float) -> str:
    """A chance that may be small, to two digits that count: `12 %`, `0.031 %`."""
    return f"{100 * chance:.2g}{NARROW_SPACE}%" if 0 < chance < 0.1 else percent(chance, 0)


def points(difference: float) -> str:
    """A difference of two shares in points, always with its sign: 0.031 is `+3.1`."""
    rounded = round(100 * difference, 1)
    return f"{'+' if rounded > 0 else MINUS if rounded < 0 else '±'}{abs(rounded):.1f}"


def decimal(number: float) -> str:
    """A plain number of three decimals: `0.031`."""
    return f"{number:.3f}".replace("-", MINUS)


def seconds(duration: float) -> str:
    """A duration a person can take in: `41 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(duration)
    if whole < 60:
        return f"{duration:.1f}{NARROW_SPACE}s" if duration < 10 else f"{whole}{NARROW_SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NARROW_SPACE}min {rest}{NARROW_SPACE}s"
    return f"{minutes // 60}{NARROW_SPACE}h {minutes % 60}{NARROW_SPACE}min"


def minutes(duration: float) -> str:
    """Seconds as minutes, without a unit: `12`, and below ten `3.4`."""
    return f"{duration / 60:.1f}" if 0 < duration < 600 else f"{duration / 60:,.0f}"


def plain(text: object, limit: int | None = None) -> str:
    """Other people's text made harmless to show on a page or a terminal.

    Control characters, half surrogates and the marks that turn the direction of writing show as U+FFFD; blanks are
    folded to one; what passes `limit` characters is cut and ends in `…`. It is still text: markup in it is the
    business of whoever shows it.
    """
    said = str(text)
    if limit is not None and len(said) > 4 * limit + 64:  # a line of 1 MB is not worth cleaning to its end
        said = said[: 4 * limit + 64] + "…"
    said = " ".join(UNSHOWABLE.sub(REPLACEMENT, said).split())
    if limit is None or len(said) <= limit:
        return said
    blank = said.rfind(" ", limit - 1 - limit // 8, limit)  # end with a word where one ends nearby
    return said[: blank if blank > 0 else limit - 1].rstrip(" …") + "…"
