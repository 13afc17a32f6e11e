"""Findings as real jobs leave them, without a database: a news job, one of 77 classes, one that never began."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from agent.certifying import Certificate, More, Part, Share, Tested
from agent.records import MicroDollars, Usage
from agent.report.comparison import bonett_price, confusion, gain, mcnemar
from agent.report.explained import Picked, PickedText, Slice
from agent.report.findings import (
    Calibration,
    Estimate,
    Findings,
    Gain,
    Model,
    Noise,
    Reviews,
    Round,
    Several,
    Taken,
    Tally,
    WaitingText,
)
from agent.report.frontier import CASCADE, Case, Time, Way, frontier
from agent.report.outlook import Outlook, Prospect
from agent.report.reliability import reliability
from agent.report.sums import FailedText, Money, OracleUse, Saved, Why
from agent.tasks.intervals import wilson

NEWS = ("business", "entertainment", "politics", "sport", "tech")
ARTICLE = (
    "Tate & Lyle boss bags top award. Tate & Lyle's chief executive has been named European Businessman of the Year "
    "by leading business magazine. Iain Ferguson was awarded the title by US publication Forbes for returning one of "
    "the UK's \"venerable\" manufacturers to the country's top 100 companies."
)
GADGETS = (
    "Gadgets galore on show at fair: the 2005 Consumer Electronics Show in Las Vegas is a geek's paradise with more "
    "than 50,000 new gadgets and technologies launched during the four-day event."
)
SETTINGS = {
    "name": "bbc-news",
    "task": {
        "kind": "classification",
        "labels": {
            "business": "companies, markets, the economy",
            "entertainment": "film, music, television, celebrities",
            "politics": "parties, government, elections, laws",
            "sport": "matches, players, teams, results",
            "tech": "computers, the internet, gadgets, games",
        },
        "guidelines": "Choose what the article is mostly about. A sports club's takeover is business; a film about a "
        "politician is entertainment; a law about the internet is politics unless it explains the technology. " * 2,
        "prompt": None,
        "options": {},
    },
    "data": {"pool": "pool.jsonl", "split": "train", "text": "text", "gold": "gold.csv", "seed": None},
    "student": {"kind": None, "encoder": "builtin:minilm", "max_tokens": 256, "batch_tokens": 8192, "cache": None},
    "oracle": [
        {
            "name": "local",
            "base_url": "http://***@127.0.0.1:8000/v1",
            "model": "qwen2.5-1.5b-instruct",
            "api_key": "**********",
            "price": {"input": "0.05", "cached_input": "0.01", "output": "0.10", "gpu_hour": None},
            "max_concurrency": 16,
            "answers": "auto",
        }
    ],
    "people": {"threshold": 0.8, "target_error": 0.05, "audit": 0.05},
    "selection": {"strategy": "margin", "batch": "auto", "random_share": 0.2, "cold_start": "auto", "options": {}},
    "budget": {"dollars": "0.02", "minutes": None},
    "stop": {"agreement": 0.99, "window": 3, "max_labels": None, "max_rounds": None},
    "distil": {"epochs": "auto", "learning_rate": 5e-05, "enabled": True},
    "seed": 7,
    "output": "out",
}


def estimate(value: float, n: int, measured_on: str = "gold") -> Estimate:
    return Estimate(value, *wilson(value * n, n), n, measured_on)


def held(selected: float, random: float, labels: int, one: int, other: int, **more: Any) -> Gain:
    """A paired comparison on 400 gold texts."""
    lo, hi = bonett_price(one, other, 400)
    return Gain(labels, selected, random, (one - other) / 400, lo, hi, random_labels=labels, paired=True, n=400,
                only_selected=one, only_random=other, p=mcnemar(one, other), **more)  # fmt: skip


def rounds(cap: int = 20_000, last: int = 7) -> tuple[Round, ...]:
    selected = [0.712, 0.806, 0.851, 0.874, 0.889, 0.897, 0.902, 0.905]
    chance = [0.436, 0.583, 0.668, 0.704, 0.741, 0.758, 0.772, 0.781]
    out: list[Round] = []
    spent = 0
    for i in range(last + 1):
        settled, ambiguous = 2_050 + 130 * (i % 3) + 17 * i, 410 if i in (2, 5) else 0
        spent += settled + ambiguous
        size = 50 if i == 0 else 70
        labels = 50 + 70 * i - 2 * i
        out.append(
            Round(
                round=i,
                labels=labels,
                spent=MicroDollars(spent),
                picked={"cold": 40, "random": 10} if i == 0 else {"unsure": 56, "random": 14},
                accepted=size - 9 - i % 3,
                people=7 + i % 3,
                failed=2 if i else 0,
                selected=estimate(selected[i], 400),
                random=estimate(chance[i], 400),
                random_labels=10 + 14 * i,
                random_spent=MicroDollars(int(spent * (10 + 14 * i) / max(labels, 1))),
                selected_equal=estimate(chance[i] + 0.0325, 400) if i else None,
                equal_labels=10 + 14 * i if i else None,
                at_labels=held(chance[i] + 0.0325, chance[i], 10 + 14 * i, 31, 18) if i else None,
                at_dollars=replace(
                    held(chance[i] + 0.0175, chance[i], 10 + 13 * i, 27, 20),
                    random_labels=10 + 14 * i,
                    dollars=MicroDollars(400 * i),
                )
                if i
                else None,
                kappa=None if i == 0 else 0.80 + 0.024 * i,
                seconds=21.4 + 3.1 * i,
                stop="budget" if i == last else None,
                settled=MicroDollars(settled),
                ambiguous=MicroDollars(ambiguous),
            )
        )
    return tuple(out)


def calibration(n: int = 400) -> Calibration:
    rng = np.random.default_rng(5)
    confidence = rng.beta(6, 1.1, n)
    right = rng.random(n) < np.clip(0.24 + 0.66 * confidence**1.4, 0, 1)
    before = reliability(confidence, right)
    after = reliability(0.24 + 0.66 * confidence**1.4 + rng.normal(0, 0.01, n), right)
    assert before is not None
    return Calibration(before, after)


def news() -> Findings:
    """A finished job on news, with a gold set and a few answers of people."""
    done = rounds()
    spent = done[-1].spent + 310
    money = Money(
        cap=MicroDollars(20_000),
        spent=MicroDollars(spent),
        ambiguous=MicroDollars(820),
        invalid=MicroDollars(196),
        elsewhere=MicroDollars(310),
        settled_count=548,
        released_count=9,
        ambiguous_count=2,
        invalid_count=6,
        elsewhere_count=8,
        per_label=spent / 526,
        reasons=(
            Why("ambiguous", "http://127.0.0.1:8000/v1: timed out after sending", 2, MicroDollars(820)),
            Why("invalid", "unknown label 'economy'; did you mean 'business'?", 4, MicroDollars(131)),
            Why("invalid", "cut off before its end: 'The article is about a comp'", 2, MicroDollars(65)),
            Why("released", "HTTP 429: rate_limit_exceeded: Rate limit reached.", 9),
        ),
    )
    truth = [(a, b) for a, b, n in MATRIX for _ in range(n)]
    return Findings(
        job="bbc-news",
        kind="classification",
        names=NEWS,
        pool_texts=998,
        bought=526,
        labelled=542,
        money=money,
        oracles=(
            OracleUse(
                "local",
                "qwen2.5-1.5b-instruct",
                {"input": 0.05, "cached_input": 0.01, "output": 0.1},
                Usage(396_412, 2_310, 301_006),
                MicroDollars(spent),
                548,
            ),
        ),
        saved=Saved(14, MicroDollars(512), 3, MicroDollars(96), 120, MicroDollars(2_210), 301_006, 12_040, 27),
        models=(
            Model("oracle", estimate(0.8775, 400), {"macro_f1": 0.871}),
            Model("student_random", estimate(0.781, 400), {"macro_f1": 0.772}, 108),
            Model("student_selected", estimate(0.905, 400), {"macro_f1": 0.903}, 526),
            Model("distilled", estimate(0.9275, 400), {"macro_f1": 0.925}),
        ),
        stop="budget",
        rounds=done,
        gain=gain(done),
        gain_dollars=done[-1].at_dollars,
        outlook=Outlook(
            prospects=(
                Prospect(MicroDollars(spent), 456, 0.0124, 0.0032, 0.0261, whole_pool=True),
                Prospect(MicroDollars(100_000_000), 456, 0.0124, 0.0032, 0.0261, whole_pool=True),
            ),
            rounds=8,
            per_dollar=1.21,
            per_dollar_lo=0.4,
            per_dollar_hi=2.3,
        ),
        picked=PICKED,
        tallies=(
            Tally("business", 131, 6, 2, 11),
            Tally("entertainment", 72, 2, 2, 9),
            Tally("politics", 88, 5, 2, 21),
            Tally("sport", 121, 0, 2, 3),
            Tally("tech", 60, 3, 2, 13),
        ),
        confusion=confusion(truth, NEWS, "gold"),
        calibration=calibration(),
        reviews=Reviews(16, 2, 1, 743.0, 60.0),
        audits=AUDITS,
        waiting_count=57,
        waiting=tuple(
            WaitingText(
                id=f"t{i}",
                text=text,
                reason=reason,
                suggestion=None if blind else label,
                confidence=None if blind else confidence,
                blind=blind,
                skipped=i == 3,
                round=i,
                slice="unsure",
            )
            for i, (text, reason, label, confidence, blind) in enumerate(WAITING)
        ),
        failed_count=2,
        failed_cost=MicroDollars(443),
        failed_reasons=(("unknown label 'economy'; did you mean 'business'?", 1), ("HTTP 503", 1)),
        failed=(
            FailedText(
                "f1",
                ARTICLE,
                ("answer is no label: unknown label 'economy'; did you mean 'business'?",),
                MicroDollars(33),
            ),
            FailedText(
                "f2",
                "Microsoft seeking spyware trojan.",
                ("timed out after 60 s (ambiguous)", "HTTP 503"),
                MicroDollars(410),
            ),
        ),
        settings=SETTINGS,
        versions={"labelwright": "0.1.0", "python": "3.11.2", "torch": "2.6.0", "transformers": "4.57.1"},
        prompt_hashes=("b7a1f0c2d4e99a31",),
        started_at="2025-11-22T04:31:07+00:00",
        finished_at="2025-11-22T04:37:52+00:00",
    )


PICKED = Picked(
    slices=(
        Slice("random", "it was drawn at random", 108, 107, MicroDollars(3_880), (0.0100, 0.0251)),
        Slice("cold", "it is typical of a group of similar texts", 40, 40, MicroDollars(1_420)),
        Slice("unsure", "the small model was unsure here", 353, 340, MicroDollars(12_310)),
        Slice("uncovered", "nothing like it had been labelled yet", 41, 39, MicroDollars(1_310)),
    ),
    strategies=(("margin", 394), ("typical", 40)),
    examples=(
        PickedText("t7", GADGETS, 0, "random", "it was drawn at random (10 of 998, a chance of 1 % each)", 0.01),
        PickedText("t1", ARTICLE, 0, "cold", "it is typical of a group of similar texts (a group of 31)"),
        PickedText("t2", "Souness delight at Euro progress.", 3, "unsure",
                   "the small model was unsure here (rank 2 of 812 by margin, a group of 4)", None, 34.0),
        PickedText("t3", "Microsoft seeking spyware trojan.", 5, "uncovered",
                   "nothing like it had been labelled yet (distance 0.731)"),
    ),
    expected=34.2,
    paid=34.9,
)  # fmt: skip
MATRIX = [
    ("business", "business", 78), ("business", "politics", 4), ("business", "tech", 7),
    ("entertainment", "entertainment", 62), ("entertainment", "tech", 5), ("entertainment", "politics", 3),
    ("politics", "politics", 66), ("politics", "business", 8), ("politics", "sport", 1),
    ("sport", "sport", 88), ("sport", "entertainment", 2),
    ("tech", "tech", 57), ("tech", "business", 14), ("tech", "entertainment", 5),
]  # fmt: skip
WAITING = [
    (ARTICLE, "confidence 0.52 is below 0.80", "business", 0.52, False),
    (GADGETS,
     "confidence 0.58 is below 0.80", "tech", 0.58, False),
    ("Blair prepares to name poll date. Tony Blair is likely to name 5 May as election day when Parliament returns.",
     "audit: one accepted answer in twenty is checked", "politics", 0.97, True),
    ("Souness delight at Euro progress.", "the oracle and the student disagree", "sport", 0.71, False),
]  # fmt: skip


AUDITS = (
    Certificate(
        1, "2025-11-22T04:31:07+00:00", 9_600, 412, 10, items=400, judged=399, skipped=1, left=0, margin=0.02,
        share=Share(0.941, 0.926, 0.954, 399, 9_600, 612.5, 0.41,
                    "prediction-powered stratified Horvitz-Thompson", 0.95),
        more=(More(0.01, 512),),
        classes=tuple(Part(n, 0.9, 0.85, 0.94, 80, 1_900) for n in NEWS),
        oracles=(Part("local/qwen2.5-1.5b-instruct", 0.941, 0.92, 0.957, 399, 9_600),),
        standings=(Part("accepted", 0.97, 0.95, 0.98, 250, 8_800), Part("waiting", 0.7, 0.62, 0.77, 149, 800)),
    ),
    Certificate(
        2, "2025-11-23T10:00:00+00:00", 9_600, 811, 0, items=2_000, judged=140, skipped=0, left=0,
        test=Tested(0.05, 0.05, "accept", 133, 2, 0, 20.4, 0.01, 20.0),
    ),
    Certificate(
        3, "2025-11-24T10:00:00+00:00", 9_500, 951, 0, items=2_000, judged=31, skipped=2, left=1_967,
        test=Tested(0.05, 0.05, "open", 33, 1, 2, 0.31, 1.7, 20.0),
    ),
    Certificate(4, "2025-11-25T10:00:00+00:00", 9_500, 951, 0, items=100, judged=0, skipped=0, left=100),
)  # fmt: skip


def banking() -> Findings:
    """A job of 77 classes, one of them with no label, measured against people only."""
    names = tuple(f"{a}_{b}_{c}" for a in ("card", "transfer", "top_up", "cash", "identity", "refund", "exchange")
                  for b in ("pending", "wrong_amount", "not_recognised", "fee")
                  for c in ("today", "abroad", "again"))[:77]  # fmt: skip
    names = (*names, *(f"other_{i}" for i in range(77 - len(names))))
    rng = np.random.default_rng(3)
    truth = [names[i] for i in rng.integers(0, 77, 600)]
    given = [t if rng.random() < 0.8 else names[(names.index(t) + int(rng.integers(1, 4))) % 77] for t in truth]
    counts = rng.integers(2, 40, 77)
    done = tuple(
        replace(
            r,
            selected=r.selected and replace(r.selected, measured_on="random slice"),
            random=r.random and replace(r.random, measured_on="random slice"),
            at_labels=r.at_labels and replace(r.at_labels, measured_on="random slice"),
            at_dollars=None,
        )
        for r in rounds()
    )
    return replace(
        news(),
        job="banking77",
        names=names,
        confusion=confusion(zip(truth, given, strict=True), names, "people"),
        several=Several(
            118,
            74,
            3,
            600,
            (
                Noise(
                    "local/small", 0.793, 0.31, (Taken(names[0], names[1], 0.34), Taken(names[5], names[7], 0.0821))
                ),
                Noise("strong/big", 0.911, 0.94),
            ),
        ),
        tallies=(
            *(Tally(n, int(c), int(c) // 9, 0, int(c) // 5) for n, c in zip(names[:-1], counts, strict=False)),
            Tally(names[-1]),
        ),
        calibration=replace(calibration(), after=None, measured_on="people"),
        models=(
            Model("oracle", estimate(0.815, 600, "people")),
            *(
                Model(m.name, m.accuracy and replace(m.accuracy, measured_on="random slice"))
                for m in news().models[1:3]
            ),
            Model("distilled"),
        ),
        rounds=done,
        gain=gain(done),
        gain_dollars=None,
        outlook=Outlook(why_not="3 rounds were measured alike, and a learning curve needs 4", rounds=3),
        stop=None,
    )


def nothing() -> Findings:
    """A job that never asked anything."""
    return Findings(job="empty", kind="classification", names=("a", "b"), money=Money(cap=MicroDollars(1_000_000)))


def cascade(minute: float | None = 0.6, *, same_texts: bool = True) -> Findings:
    """A job of three oracles: a small model that is right on 86 %, a larger one, and a dear one. Every one was asked
    about 400 gold texts; or, without `same_texts`, each only about what the one before was not sure of."""
    rng, cases, bars = np.random.default_rng(5), [], (0.86, 0.9)
    for _ in range(400):
        hard = rng.random()
        chances = np.clip([1.06 - 0.55 * hard, 1.04 - 0.24 * hard, 1.02 - 0.1 * hard], 0, 0.99)
        right = tuple(bool(rng.random() < p) for p in chances)
        sure = np.clip(chances[:2] + rng.normal(0, 0.05, 2), 0, 1)
        last = 0 if sure[0] >= bars[0] else 1 if sure[1] >= bars[1] else 2
        beyond = 1 if sure[1] >= bars[1] else 2
        seen = right if same_texts else tuple(r if place <= last else None for place, r in enumerate(right))
        accepted = last < 2 or bool(chances[2] > 0.94)
        cost = (9, 160, 2_100)
        cases.append(Case(seen, cost, float(sure[0]), last, beyond if same_texts else last or None, accepted))
    ways = [
        Way(name, price=1000.0 * price, texts=sum(c.right[place] is not None for c in cases),
            hard=place > 0 and not same_texts)
        for place, (name, price) in enumerate((("local", 9), ("larger", 160), ("hosted", 2_100)))
    ]  # fmt: skip
    together = Way(CASCADE, price=1000 * float(np.mean([c.ends(c.last)[1] for c in cases])), texts=400)
    found = frontier(cases, ways, together, measured_on="gold", same_texts=same_texts, time=Time(7.5, 0.1, minute))
    return replace(news(), frontier=replace(found, bars=(*bars, 0.94)))
