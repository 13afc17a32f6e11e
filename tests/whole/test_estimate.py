"""What a job is said to cost before it is run, held against what it then costs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.costing import Spread
from agent.errors import JobLocked, UserError
from agent.estimating import PILOTS, Estimate, estimate
from agent.job import Job
from agent.ledger import RunLock, prompt_bound
from agent.loop import run
from agent.piloting import pilot
from agent.records import MicroDollars, Question
from agent.workbench import Workbench
from tests.ledger.test_tokens import bytes_alone, folder
from tests.servers.broken import BrokenServer, replies
from tests.servers.faults import Faults
from tests.servers.model import weight
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]
PRICE = {"input": 1.0, "output": 2.0}


def job_at(path: Path, url: str, *, pool: int = 120, oracle: dict[str, Any] | None = None, **changes: Any) -> Job:
    told = {"name": "local", "model": "scripted", "base_url": url, "price": PRICE, "timeout_s": 5}
    return Job.load(write_job(path, pool=pool, oracle=told | (oracle or {}), **changes))


def priced(job: Job, *, buy: int | None = None) -> Estimate:
    with Workbench(job) as bench:
        if buy is not None:
            pilot(bench, buy)
        return estimate(bench)[0]


def paid(server: ScriptedServer) -> list[str]:
    """Texts of the pool that were charged for."""
    return [row["text"] for row in server.asked if row["charged"] and row["text"] in truth()]


def charged(server: ScriptedServer) -> int:
    """All that the server wants for questions about the pool, micro-dollars."""
    return sum(row["charged"] for row in server.asked if row["text"] in truth(300))


class AsTheServerCounts:
    """The scripted server's own count, in the place of a model's tokenizer."""

    def count(self, question: Question) -> int:
        return weight([{"role": m.role, "content": m.content} for m in question.messages])

    def text(self, content: str) -> int:
        return 2 * len(content) // 3 if content.startswith("{") else 1

    def bound(self, question: Question) -> int:
        return prompt_bound(question)


@pytest.fixture
def server(serve_gold: Serve) -> ScriptedServer:
    return serve_gold(truth())


# Without buying anything --------------------------------------------------------------------------------------------


def test_an_estimate_asks_no_question(server: ScriptedServer, tmp_path: Path) -> None:
    found = priced(job_at(tmp_path, server.url))
    assert server.asked == []
    assert "with the student's tokenizer; the model's own may count" in found.basis
    assert found.failed is None
    assert found.rate is None


def test_the_students_tokenizer_gives_an_interval_that_holds_what_the_pool_costs(
    server: ScriptedServer, tmp_path: Path
) -> None:
    job = job_at(tmp_path, server.url)
    said = priced(job).pool_cost
    assert said is not None
    priced(job, buy=120)
    assert said.low <= charged(server) <= said.high


@pytest.mark.parametrize("answers", ["auto", "choice", "json_schema", "plain"])
def test_an_exact_count_holds_what_the_pool_costs_however_answers_are_held_to_the_labels(
    server: ScriptedServer, tmp_path: Path, answers: str
) -> None:
    """The prompt differs with the way; `weight` is how the scripted server counts a prompt."""
    job = job_at(tmp_path / answers, server.url, oracle={"answers": answers})
    with Workbench(job) as bench:
        bench.__dict__["tokenizers"] = {"local": AsTheServerCounts()}
        said = estimate(bench)[0].pool_cost
    priced(job, buy=120)
    assert said is not None
    assert said.low <= charged(server) <= said.high
    assert said.high < 1.4 * said.low


def test_a_models_own_tokenizer_counts_every_prompt_as_the_model_reads_it(tmp_path: Path) -> None:
    folder(tmp_path / "model", bytes_alone())
    found = priced(job_at(tmp_path, "http://127.0.0.1:1/v1", oracle={"tokenizer": "model"}))
    assert "with the model's tokenizer (model)" in found.basis
    assert found.pool_cost is not None
    # a token a byte: only the sample, the way to answer and the answer's length are in doubt
    assert found.pool_cost.high < 1.15 * found.pool_cost.low


def test_a_vllm_server_counts_the_prompts_itself(tmp_path: Path) -> None:
    with BrokenServer(replies(200, {"count": 321, "max_model_len": 4096, "tokens": []})) as vllm:
        found = priced(job_at(tmp_path, vllm.url))
    assert found.basis == "120 prompts, counted by the server that will answer them"
    assert len(vllm.requests) == 240  # once for each way in which it may be told to answer
    head, _, body = vllm.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /tokenize HTTP/1.1")
    assert [m["role"] for m in json.loads(body)["messages"]][0::7] == ["system", "user"]
    assert found.label is not None
    assert 321 * 1.0 < found.label.value < 321 + 40


@pytest.mark.parametrize("body", [b"not json", b'{"count": "many"}', b'{"count": 0}', b"[]"])
def test_a_server_that_does_not_count_is_not_believed(tmp_path: Path, body: bytes) -> None:
    with BrokenServer(replies(200, body)) as other:
        assert "student's tokenizer" in priced(job_at(tmp_path, other.url)).basis


def test_a_price_for_time_is_not_guessed(server: ScriptedServer, tmp_path: Path) -> None:
    job = job_at(tmp_path, server.url, oracle={"price": {"gpu_hour": 3.6}})
    found = priced(job)
    assert found.label is None
    assert "--pilot 50" in dict(found.lines())["a label"]
    measured = priced(job, buy=20)
    assert measured.label is not None
    assert measured.label.value > 0


def test_batches_are_priced_beside_live_questions(tmp_path: Path) -> None:
    live = priced(job_at(tmp_path / "live", "http://127.0.0.1:1/v1"))
    batch = priced(job_at(tmp_path / "batch", "http://127.0.0.1:1/v1", mode="batch"))
    assert live.pool_cost is not None
    assert batch.pool_cost is not None
    assert batch.pool_cost.value == pytest.approx(live.pool_cost.value / 2)
    assert batch.other_mode is not None
    assert batch.other_mode.value == pytest.approx(live.pool_cost.value)
    assert "in batches" in dict(live.lines())
    assert "one by one" in dict(batch.lines())


# A pilot ------------------------------------------------------------------------------------------------------------


def test_a_pilot_buys_random_texts_and_the_run_does_not_buy_them_again(
    server: ScriptedServer, tmp_path: Path
) -> None:
    job = job_at(tmp_path, server.url, distil__enabled=False, stop__max_rounds=None, selection={"batch": 60})
    found = priced(job, buy=30)
    bought = paid(server)
    assert found.texts == len(bought) == len(set(bought)) == 30
    assert found.basis == "a pilot of 30 texts, drawn at random with seed 0"
    assert found.label is not None
    assert found.label.value == pytest.approx(charged(server) / 30)
    assert found.rate is not None
    assert found.rate > 0
    run(job)
    assert sorted(paid(server)) == sorted(set(paid(server)))
    assert len(paid(server)) == 120


def test_a_larger_pilot_holds_the_smaller_one_and_a_later_estimate_needs_none(
    server: ScriptedServer, tmp_path: Path
) -> None:
    job = job_at(tmp_path, server.url)
    priced(job, buy=20)
    first = set(paid(server))
    larger = priced(job, buy=50)
    assert first < set(paid(server))
    assert len(paid(server)) == 50
    again = priced(job)
    assert len(paid(server)) == 50
    assert (again.basis, again.label) == (larger.basis, larger.label)


def test_a_pilot_of_another_prompt_or_price_is_not_taken_for_this_job(server: ScriptedServer, tmp_path: Path) -> None:
    priced(job_at(tmp_path, server.url), buy=10)
    assert "pilot" in priced(job_at(tmp_path, server.url)).basis
    assert "pilot" not in priced(job_at(tmp_path, server.url, oracle={"price": {"input": 2, "output": 2}})).basis
    (tmp_path / "out" / PILOTS).write_text("{")
    assert "pilot" not in priced(job_at(tmp_path, server.url)).basis


def test_a_pilot_that_does_not_fit_the_budget_is_refused_and_says_which_would(
    server: ScriptedServer, tmp_path: Path
) -> None:
    job = job_at(tmp_path, server.url, budget={"dollars": 0.02})
    with pytest.raises(
        UserError, match=r"a pilot of 100 texts may cost up to .* try --pilot (\d+), or raise"
    ) as told:
        priced(job, buy=100)
    assert paid(server) == []
    fits = int(str(told.value).split("--pilot ")[1].split(",")[0])
    assert priced(job, buy=fits).texts == fits
    with Workbench(job) as bench:
        assert bench.store.spending(job.name).spent <= 20_000


def test_a_pilot_waits_for_no_other_run(server: ScriptedServer, tmp_path: Path) -> None:
    job = job_at(tmp_path, server.url)
    with RunLock(job.output_folder), pytest.raises(JobLocked):
        priced(job, buy=10)
    assert server.asked == []


def test_a_pilot_of_a_job_in_batches_asks_live_and_prices_both(server: ScriptedServer, tmp_path: Path) -> None:
    found = priced(job_at(tmp_path, server.url, mode="batch"), buy=20)
    assert {row["kind"] for row in server.asked} == {"chat"}
    assert found.other_mode is not None
    assert found.other_mode.value == pytest.approx(charged(server) / 20 * 120)
    assert found.pool_cost is not None
    assert found.pool_cost.value == pytest.approx(found.other_mode.value / 2)
    assert found.rate is None  # a batch comes when it comes


def test_a_pilot_needs_somebody_who_answers_at_once(tmp_path: Path) -> None:
    oracle = {"base_url": None, "run_batch": {"command": ["true"]}}
    with pytest.raises(UserError, match="answers whole files, so that there is no pilot"):
        priced(job_at(tmp_path, "", oracle=oracle), buy=20)


def test_a_pilot_of_a_tape_is_free_of_doubt_about_time_outs(server: ScriptedServer, tmp_path: Path) -> None:
    from agent.recording import record

    record(job_at(tmp_path, server.url), tmp_path / "tape.jsonl.gz")
    asked = len(server.asked)
    oracle = {"base_url": None, "tape": "tape.jsonl.gz"}
    found = priced(job_at(tmp_path, server.url, oracle=oracle, output="replayed", budget={"dollars": 1}), buy=40)
    assert len(server.asked) == asked
    assert found.mode == "tape"
    assert found.rate is None
    assert found.label is not None
    assert found.failed is not None
    assert found.label.high < 1.1 * found.label.value / (1 - found.failed.high)


@pytest.mark.parametrize("seed", range(4))
def test_the_whole_pool_costs_what_a_pilot_among_faults_said(serve_gold: Serve, tmp_path: Path, seed: int) -> None:
    """One of twenty intervals may miss; these four do not. Many more are in tests/test_costing.py."""
    faults = Faults(share_503=0.04, share_429=0.03, share_no_usage=0.03, share_garbage=0.05, share_reset=0.02)
    server = serve_gold(truth(200), faults=faults, seed=seed)
    job = job_at(tmp_path, server.url, pool=200, seed=seed)
    said = priced(job, buy=50)
    assert said.failed is not None
    whole = priced(job, buy=200)
    assert said.pool_cost is not None
    assert whole.pool_cost is not None
    assert whole.pool_cost.low == whole.pool_cost.high  # all of it was asked
    assert said.pool_cost.low <= whole.pool_cost.value <= said.pool_cost.high
    with Workbench(job) as bench:
        spent = bench.store.spending(job.name).spent
        probes = bench.store.text_costs(job.name, "local", ["probe-choice", "probe-json_schema"])  # type: ignore[list-item]
    assert whole.pool_cost.value == pytest.approx(spent - sum(p.plain + p.unclear for p in probes))
    assert spent >= sum(row["charged"] for row in server.asked)


def test_texts_that_never_get_a_label_are_counted_and_make_the_others_dearer(
    serve_gold: Serve, tmp_path: Path
) -> None:
    server = serve_gold(truth(), faults=Faults(share_garbage=0.5))
    found = priced(job_at(tmp_path, server.url), buy=60)
    assert found.failed is not None
    assert found.failed.low < 0.5**2 < found.failed.high + 0.2
    assert found.failed.value > 0
    assert found.label is not None
    good = 60 * (1 - found.failed.value)
    assert found.label.value == pytest.approx(charged(server) / good)


# What is said -------------------------------------------------------------------------------------------------------


def told(**changes: Any) -> Estimate:
    known: dict[str, Any] = {
        "oracle": "main", "model": "m", "mode": "live", "basis": "a pilot of 50 texts", "texts": 50,
        "label": Spread(7.2, 7.0, 7.4), "failed": Spread(0.04, 0.01, 0.13), "worst": MicroDollars(51),
        "left": MicroDollars(2_000), "labels": Spread(277.4, 270.1, 285.0), "pool": 300,
        "pool_cost": Spread(2_160.0, 2_100.0, 2_220.0), "rate": 2.0, "at_once": 64,
    }  # fmt: skip
    return Estimate(**(known | changes))


def test_every_sum_an_estimate_gives_to_machines_is_in_dollars() -> None:
    figures = told().figures()
    assert figures["label_dollars"] == pytest.approx({"value": 7.2e-6, "low": 7.0e-6, "high": 7.4e-6})
    assert figures["worst_dollars"] == 51 / 1e6
    assert figures["pool_dollars"]["value"] == pytest.approx(0.00216)
    assert figures["labels"]["value"] == 277.4
    assert figures["pool_seconds"] == 150
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_a_person_reads_price_failures_budget_pool_and_time() -> None:
    said = dict(told().lines())
    assert said["a label"].startswith("$0.00000720 ($0.00000700 to $0.00000740)")
    assert "2 of 50 texts" in said["no label"]
    assert said["the budget"] == "$0.0020 left buys about 277 labels (270 to 285)"
    assert said["the whole pool"] == "300 texts for $0.00216 ($0.00210 to $0.00222), about 2\u202fmin 30\u202fs"
    assert dict(told(labels=Spread(300.0, 300.0, 300.0)).lines())["the budget"].endswith("pays for the whole pool")


def test_an_estimate_of_nothing_bought_has_no_infinity_for_machines() -> None:
    assert not any(math.isinf(v) for v in (told().figures()["labels"] or {}).values())
