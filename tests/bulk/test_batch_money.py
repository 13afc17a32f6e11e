"""What a batch costs: the share of the live price, the split of a machine's time, and settings that say so."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import JobFileError
from agent.job import Job, OracleSettings, Price
from agent.ledger import Tariff, charge
from agent.ledger.prices import in_batch, shares
from agent.records import MicroDollars, Usage
from tests.bulk.making import at, question

amounts = st.integers(0, 10**9).map(MicroDollars)


def test_a_batch_costs_half_unless_the_job_says_otherwise() -> None:
    live, half = Tariff.of(at("http://127.0.0.1:1/v1")), Tariff.in_batches(at("http://127.0.0.1:1/v1"))
    assert half.worst(question("x")) == -(-live.worst(question("x")) // 2)
    assert charge(half.price, Usage(100, 3)) == 53
    quarter = at("http://127.0.0.1:1/v1", price={"input": 1, "output": 2, "batch": 0.25})
    assert charge(Tariff.in_batches(quarter).price, Usage(100, 2)) == 26


def test_ones_own_command_costs_the_whole_price_and_an_hour_is_an_hour() -> None:
    own = OracleSettings(model="m", price=Price(input=Decimal(1), output=Decimal(2)), run_batch={})
    assert charge(Tariff.in_batches(own).price, Usage(100, 3)) == 106
    assert in_batch(Price(gpu_hour=Decimal(2)), Decimal("0.5")) == Price(gpu_hour=Decimal(2))


@given(amounts, st.lists(amounts, min_size=1, max_size=30))
def test_a_cost_is_shared_out_to_the_last_micro_dollar_and_nobody_bears_too_much(
    total: MicroDollars, most: list[MicroDollars]
) -> None:
    given_ = shares(total, most)
    assert sum(given_) == min(total, sum(most))
    assert all(0 <= g <= m for g, m in zip(given_, most, strict=True))


@given(amounts, st.integers(1, 30))
def test_equals_bear_equal_shares(total: MicroDollars, n: int) -> None:
    given_ = shares(total, [MicroDollars(10**9)] * n)
    assert max(given_) - min(given_) <= 1


def job(tmp_path: Path, **changes: Any) -> Job:
    settings = {
        "task": {"labels": ["a", "b"]},
        "data": {"pool": "p.csv"},
        "budget": {"dollars": 1},
        "oracle": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "price": {"input": 1, "output": 1}},
    }
    return Job.of(settings | changes, tmp_path)


def test_an_oracle_has_the_jobs_mode_unless_it_names_its_own(tmp_path: Path) -> None:
    live = {"name": "live", "base_url": "http://127.0.0.1:1/v1", "model": "m", "mode": "live"}
    other = {"name": "other", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    tape = {"name": "tape", "tape": "t.gz", "model": "m"}
    own = {"name": "own", "run_batch": {"shard": 5}, "model": "m"}
    made = job(tmp_path, mode="batch", oracle=[live, other, tape, own])
    assert [o.in_batches for o in made.oracle] == [False, True, False, True]
    assert not job(tmp_path).oracle[0].in_batches
    assert Job.of(made.settings(), tmp_path) == made


def test_the_examples_of_the_documentation_are_jobs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(part.split("```")[0]) for part in page.split("```yaml")[1:]]
    assert len(examples) == 3
    for example in examples:
        assert job(tmp_path, **example).oracle[0].in_batches


@pytest.mark.parametrize(
    ("oracle", "said"),
    [
        ({"tape": "t.gz", "mode": "batch"}, "a tape answers at once"),
        ({"run_batch": {}, "mode": "live"}, "answers whole files"),
        ({"run_batch": {}, "base_url": "http://127.0.0.1:1/v1"}, "exactly one of"),
        ({"base_url": "http://127.0.0.1:1/v1", "batch": {"lines": 60_000}}, "lines"),
        ({"base_url": "http://127.0.0.1:1/v1", "batch": {"pol_s": 1}}, "did you mean `poll_s`"),
        ({"base_url": "http://127.0.0.1:1/v1", "mode": "bulk"}, "mode"),
        ({"run_batch": {"command": []}}, "command"),
    ],
)
def test_settings_that_make_no_sense_are_told(tmp_path: Path, oracle: dict[str, Any], said: str) -> None:
    with pytest.raises(JobFileError, match=said):
        job(tmp_path, oracle={"model": "m", **oracle})
