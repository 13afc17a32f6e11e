"""A round that ends without any label: it is kept, said, and the job goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import UserError
from agent.job import Job
from agent.loop import run
from agent.store import Store
from tests.marks import storm
from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import truth, write_job

Serve = Callable[..., ScriptedServer]


@pytest.mark.parametrize("gold", ["gold.csv", *storm(None)])
def test_a_job_whose_first_answers_all_failed_goes_on_with_a_server_that_works(
    tmp_path: Path, serve_gold: Serve, gold: str | None
) -> None:
    def job(server: ScriptedServer, rounds: int) -> Job:
        changes: dict[str, Any] = {"data__seed": None, "data__gold": gold, "distil__enabled": False}
        return Job.load(write_job(tmp_path, oracle__base_url=server.url, stop__max_rounds=rounds, **changes))

    broken = serve_gold(dict(truth()), faults=Faults(share_garbage=1.0))
    outcome = run(job(broken, 1))
    assert (outcome.reason, outcome.labels) == ("max_rounds", 0)
    assert outcome.waiting == 20, "what failed waits for a person"
    small = job(serve_gold(dict(truth())), 3)
    outcome = run(small)
    assert outcome.labels == 40
    with Store.open(small.store_url) as store:
        found = [r.figures for r in store.rounds("small")]
    assert found[0]["stop_set"] is None
    assert found[1]["kappa"] is None
    assert found[2]["kappa"] is not None


def test_a_budget_that_pays_for_no_question_says_so(tmp_path: Path, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    file = write_job(
        tmp_path, oracle__base_url=server.url, data__seed=None, budget__dollars=0.0006, distil__enabled=False
    )
    outcome = run(Job.load(file))
    assert outcome.reason == "budget"
    assert "raise `budget.dollars`" in outcome.message


@pytest.mark.parametrize(
    "changes",
    [
        {"selection__strategy": "marginn"},
        {"selection__strategy": "knowledge"},
        {"selection__strategy": "builtins:int"},
        {"selection__strategy": ":Name"},
        {"student__kind": "headd"},
    ],
)
def test_a_name_that_is_not_known_is_told_before_anything_is_asked(
    tmp_path: Path, serve_gold: Serve, changes: dict[str, Any]
) -> None:
    server = serve_gold(dict(truth()))
    file = write_job(tmp_path, oracle__base_url=server.url, data__seed=None, data__ask_gold=True, **changes)
    with pytest.raises(UserError, match=r"selection\.strategy|student\.kind"):
        run(Job.load(file))
    assert not server.asked
