"""A pool of more texts than a round can look at: a sample of it is scored, the same one until the encoder changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agent import steps, workbench
from agent.job import Job
from agent.loop import run
from agent.store import Store
from agent.student.encoder import Encoder
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import truth, write_job

SCORED, STOP_SET = 50, 10


@pytest.fixture
def job(tmp_path: Path, serve_gold: Callable[..., ScriptedServer], monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(workbench, "MOST_SCORED", SCORED)
    monkeypatch.setattr(steps, "STOP_SET_SIZE", STOP_SET)
    url = serve_gold(truth(200), errors=0.0).url
    return Job.load(write_job(tmp_path, pool=200, oracle__base_url=url, distil__enabled=False, data__gold=None))


@pytest.mark.slow
def test_only_the_sample_is_embedded_and_each_text_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    real = Encoder.encode

    def encode(self: Encoder, texts: list[str]) -> object:
        encoded.extend(texts)
        return real(self, texts)

    monkeypatch.setattr(Encoder, "encode", encode)
    run(job)
    with Store.open(job.store_url) as store:
        picks = store.picks(job.name)
    labels, classes_and_seeds = len(picks), 3 + 3
    assert labels == 60
    assert len(encoded) == len(set(encoded)), "no text is embedded twice"
    assert len(encoded) <= SCORED + STOP_SET + labels + classes_and_seeds
    chance = [p.probability for p in picks if p.slice == "random"]
    assert chance
    assert all(p is not None and p < 3 / SCORED for p in chance), "chances are of the whole pool, not of the sample"


def test_the_sample_is_filled_up_as_texts_leave_it(job: Job) -> None:
    with Workbench(job) as bench:
        first, share = bench.scored([])
        assert len(first) == SCORED
        assert share == SCORED / len(bench.pool)
        assert (np.diff(first) > 0).all()
        second, _ = bench.scored(first[:20].tolist())
        assert len(second) == SCORED
        assert set(first[20:]) <= set(second), "who was in stays in"
        assert not set(first[:20]) & set(second)
        few, taken = np.arange(SCORED - 1), range(SCORED - 1, len(bench.pool))
        np.testing.assert_array_equal(bench.scored([*taken, workbench.NOWHERE])[0], few)
        assert bench.scored(taken)[1] == 1.0
