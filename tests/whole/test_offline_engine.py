"""`run_batch.llm`: a vLLM that is loaded once answers all files of a run, and is left by none. It is a stand-in."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import pytest

from agent.errors import EndpointError, JobFileError
from agent.job import Job
from agent.loop import run
from agent.oracle.offline import FIRST, STOP
from agent.oracle.process import GRACE_S
from agent.store import AttemptState, Store
from tests.servers.charges import read_log
from tests.whole.jobs import labelwright, sentences, truth, write_job, write_rows
from tests.whole.staging import QUICK, Stage, Start, Told, until

TOKENS = {"input": 1.0, "cached_input": 0.1, "output": 2.0}
LINE = Decimal("0.9") * 3  # micro-dollars that three cached tokens save


class OfflineStage(Stage):
    """A folder with a job that answers its files itself, and the stand-in that it does it with."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.evidence, self.spool = folder / "asked.jsonl", folder / "out" / "spool-local"

    def job(self, llm: dict[str, Any] | None = None, files: dict[str, Any] | None = None, /, **changes: Any) -> Job:
        """`changes` of the job have two underscores; others are what the stand-in is told."""
        told = {name: changes.pop(name) for name in list(changes) if "__" not in name}
        told |= {"pids": self.pids, "gold": self.gold, "log": self.evidence}
        env = {"STAND_IN": json.dumps(told, default=str, sort_keys=True)}
        own = {"model": "./model", "python": "./python", "env": env, "ready_s": 200} | (llm or {})
        more = {"oracle__run_batch": {"llm": own, "shard": 10} | (files or {}), "oracle__model": "qwen"}
        more |= {"oracle__price": {"gpu_hour": 2}}
        return Job.load(write_job(self.folder, **(QUICK | more | changes)))

    @property
    def asked(self) -> list[str]:
        return [str(row["text"]) for row in self.rows if "text" in row]

    @property
    def loads(self) -> int:
        return sum("loaded" in row for row in self.rows)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return read_log(self.evidence) if self.evidence.exists() else []

    def store(self) -> Store:
        return Store.open(f"sqlite:///{self.folder / 'out' / 'labelwright.db'}")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[OfflineStage]:
    made = OfflineStage(tmp_path)
    yield made
    made.clear()


# A job --------------------------------------------------------------------------------------------------------------


class Watches(Told):
    """Also keeps what a person is shown while it loads."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: set[str] = set()

    def loading(self, oracle: str, seconds: float, said: str) -> None:
        self.shown.add(said)


def test_a_whole_job_is_answered_by_one_load(stage: OfflineStage) -> None:
    opens, watch = stage.folder / "opens", Watches()
    job = stage.job(oracle__price=TOKENS, stop__max_rounds=2, opens=opens)

    def loading(oracle: str, seconds: float, said: str) -> None:
        watch.shown.add(said)
        if "Loading model" in said:
            opens.touch()

    watch.loading = loading  # type: ignore[method-assign]
    outcome = run(job, watch)
    assert outcome.labels == 40
    assert stage.loads == 1, "two rounds of two files each"
    assert sorted(stage.asked) == sorted(set(stage.asked))
    assert stage.is_left_clean()
    assert f"Loading model {stage.folder / 'model'}" in watch.shown
    assert f"local: starting vLLM with ./model; its log is {stage.log}" in watch
    with stage.store() as store:
        current, picks = store.current("small"), store.picks("small")
        spent, attempts = store.job("small").spent, store.attempts("small")
    assert {truth()[p.text] == current[p.text_id].value for p in picks} == {True}
    for label in current.values():
        assert label.probabilities is not None
        assert sum(label.probabilities.values()) == pytest.approx(1)
        assert label.confidence == pytest.approx(max(label.probabilities.values()))
    assert len({round(label.confidence or 0, 3) for label in current.values()}) > 10
    costs = [Decimal(row["prompt_tokens"] + 4) - LINE for row in stage.rows if "text" in row]
    assert spent == sum(int(cost.to_integral_value(ROUND_CEILING)) for cost in costs)
    assert {a.state for a in attempts} == {AttemptState.SETTLED}
    run(job)
    assert stage.loads == 1, "a run with nothing to ask loads nothing"


def test_what_a_server_of_the_same_model_answered_is_not_asked_again(stage: OfflineStage) -> None:
    words = ["--pids", stage.pids, "--gold", stage.gold, "--log", stage.folder / "charges"]
    serve = {"model": "./model", "python": "./python", "args": [str(w) for w in words], "ready_s": 200}
    served = {"oracle__model": "qwen", "oracle__price": {"gpu_hour": 2}, "oracle__serve": serve}
    assert run(Job.load(write_job(stage.folder, **(QUICK | served)))).labels == 20
    assert run(stage.job(stop__max_rounds=2)).labels == 40
    assert len(stage.asked) == 20


def test_time_is_what_answering_takes_and_not_what_loading_does(stage: OfflineStage) -> None:
    told = Told()
    run(stage.job(slow_s=0.02, oracle__price={"gpu_hour": 3600}, budget__dollars=20_000), told)
    with stage.store() as store:
        spending = store.spending("small")
    assert 20 * 0.02 <= spending.spent / 1e6 <= 5, "a dollar a second, and a slow machine"
    assert spending.ambiguous_count == 0
    assert "of GPU time; " in told, told.notes


# The end ------------------------------------------------------------------------------------------------------------


def test_ctrl_c_while_it_loads_leaves_no_process_and_costs_nothing(stage: OfflineStage, start: Start) -> None:
    stage.job(opens=stage.folder / "never")
    one = start()
    assert until(lambda: stage.alive), one.said
    assert one.end(signal.SIGINT) == 130, one.said
    assert "Traceback" not in one.said
    assert stage.is_left_clean()
    with stage.store() as store:
        assert (store.job("small").spent, store.job("small").reserved) == (0, 0)


def test_ctrl_c_keeps_what_is_under_way_and_the_next_run_collects_it(stage: OfflineStage, start: Start) -> None:
    job = stage.job(slow_s=0.2)
    one = start()
    assert until(lambda: stage.asked), one.said
    assert one.end(signal.SIGINT) == 130, one.said
    assert "vLLM finishes what it is at, and that is kept" in one.said
    assert "run the same command again to collect it" in one.said
    assert "Traceback" not in one.said
    assert stage.is_left_clean()
    assert len(stage.asked) == 10, "the file that was under way, and not the next one"
    assert run(job).labels == 20
    assert len(stage.asked) == len(set(stage.asked)) == 20, "nothing was asked twice"
    assert stage.is_left_clean()


def test_the_second_ctrl_c_does_not_wait(stage: OfflineStage, start: Start) -> None:
    go = stage.folder / "go"
    stage.job(waits=go, stubborn=True)
    one = start()
    assert until(lambda: list(stage.spool.glob("*.taken"))), one.said
    one.send(signal.SIGINT)
    assert until(lambda: "vLLM finishes what it is at" in one.said)
    assert one.end(signal.SIGINT, GRACE_S / 2) == 130, one.said
    assert "Traceback" not in one.said
    assert not stage.alive
    go.touch()
    assert run(stage.job(waits=go)).labels == 20, "what was under way is asked once more"


# kill -9 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loading", [True, False], ids=["loading", "answering"])
def test_what_a_killed_run_left_is_taken_over_and_nothing_is_asked_twice(
    stage: OfflineStage, start: Start, loading: bool
) -> None:
    opens = stage.folder / "opens"
    job = stage.job(opens=opens, slow_s=0.2)
    one = start()
    assert until(lambda: stage.alive), one.said
    if not loading:
        opens.touch()
        assert until(lambda: stage.asked), one.said
    one.end(signal.SIGKILL)
    assert len(stage.alive) == 2, "an engine outlives a run that is killed"
    (stage.spool / STOP).touch()  # it might have been about to end
    opens.touch()
    told = Told()
    assert run(job, told).labels == 20
    assert "taking over the vLLM that an earlier run left" in told
    assert stage.loads == 1
    assert len(stage.asked) == len(set(stage.asked)) == 20
    assert stage.is_left_clean()


def test_where_both_were_killed_only_what_was_under_way_is_asked_again(stage: OfflineStage, start: Start) -> None:
    job = stage.job(slow_s=0.2)
    one = start()
    assert until(lambda: len(stage.asked) > 12), one.said
    one.end(signal.SIGKILL)
    for pid in stage.alive:
        os.kill(pid, signal.SIGKILL)
    before = list(stage.asked)
    assert run(job).labels == 20
    assert stage.loads == 2
    twice = {text for text in stage.asked if stage.asked.count(text) > 1}
    assert twice <= set(before[10:]), "the first file was whole"
    with stage.store() as store:
        spending = store.spending("small")
    assert spending.reserved == 0


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_a_text_that_is_too_long_fails_alone(stage: OfflineStage) -> None:
    job = stage.job({"args": {"max_model_len": 250}}, oracle__price=TOKENS, selection__cold_start=120)
    rows = sentences(166)[:119]
    write_rows(stage.folder / "pool.csv", [*rows, ("long " * 300, "fruit")], labelled=False)
    assert run(job).labels == 119
    with stage.store() as store:
        failed = [a for a in store.attempts("small") if a.state is not AttemptState.SETTLED]
        (waiting,) = (row for row in store.queue("small") if row.text.startswith("long"))
    assert [a.state for a in failed] == [AttemptState.RELEASED], "it was refused before any work"
    assert "the prompt is too long" in failed[0].reason
    assert "`max_model_len` is 250" in str(waiting)
    assert stage.loads == 1


def test_an_engine_that_dies_while_it_loads_is_told_with_the_end_of_its_log(
    stage: OfflineStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.job(dies=True)
    code, said = labelwright(monkeypatch, capsys, "run", stage.file)
    assert code == 2
    assert "oracle local: vLLM ended while it was loading, with code 1; mend `run_batch.llm`" in said
    assert f"The end of its log, {stage.log}" in said
    assert "ValueError: no room for the weights of this model" in said
    assert stage.is_left_clean()
    with stage.store() as store:
        assert (store.job("small").spent, store.job("small").reserved) == (0, 0)


def test_an_argument_that_vllm_does_not_know_is_told_by_its_name(stage: OfflineStage) -> None:
    with pytest.raises(EndpointError, match=r"(?s)mend `run_batch.llm`.*unexpected keyword argument 'max_modle_len'"):
        run(stage.job({"args": {"max_modle_len": 4096}}))


def test_an_engine_that_dies_in_the_middle_keeps_what_it_answered_and_is_told(stage: OfflineStage) -> None:
    texts = [text for text, _ in sentences(166)[:120]]
    whole = {"selection__cold_start": 120, "budget__dollars": 10}
    dying = stage.job(None, {"shard": 120}, dies_at=texts[FIRST + 20], **whole)
    told = Told()
    with pytest.raises(EndpointError) as ended:
        run(dying, told)
    said = str(ended.value)
    assert "came back without a single answer; look at the job file" in said
    assert "vLLM ended, with code 1. The end of its log" in said
    assert "CUDA error: an illegal memory access" in said
    assert "local: vLLM ended by itself, with code 1" in told
    assert stage.loads == 2, "what was left was tried once more"
    assert stage.is_left_clean()
    first = len(stage.asked)
    assert run(stage.job(None, {"shard": 120}, **whole)).labels == 120
    assert len(stage.asked) - first <= 120 - FIRST, "what it had answered was kept"


def test_only_a_run_loads_it(
    stage: OfflineStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.job()
    code, said = labelwright(monkeypatch, capsys, "check", stage.file)
    assert code == 0, said
    assert "oracle local: vLLM is in" in said
    assert labelwright(monkeypatch, capsys, "estimate", stage.file)[0] == 0
    code, said = labelwright(monkeypatch, capsys, "estimate", stage.file, "--pilot", 10)
    assert code == 2
    assert "there is no pilot" in said
    assert not stage.processes


# The job file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("llm", "files", "changes", "said"),
    [
        ({"args": {"trust_remote_code": True}}, {}, {}, "`trust_remote_code` runs whatever code came with a model"),
        ({"args": {"trust-remote-code": True}}, {}, {}, "`trust-remote-code` is written `trust_remote_code` here"),
        ({"args": ["--max-model-len", 4096]}, {}, {}, "write `{max_model_len: 4096}`"),
        ({"args": {"model": "other"}}, {}, {}, "`model` stands beside `args`"),
        ({"args": {"hf_token": "hf_abc"}}, {}, {}, "`hf_token` looks like a key: export it (HF_TOKEN)"),
        ({"modle": "x"}, {}, {}, "did you mean `model`"),
        ({}, {"command": ["vllm"]}, {}, "give one of `llm` and `command`"),
        ({}, {}, {"oracle__base_url": "http://127.0.0.1:1/v1"}, "needs exactly one of `base_url`"),
        ({}, {}, {"oracle__serve": {"model": "m"}}, "needs exactly one of `base_url`"),
        ({}, {}, {"oracle__mode": "live"}, "it has no `mode: live`"),
    ],
)
def test_what_makes_no_sense_is_told(
    stage: OfflineStage, llm: dict[str, Any], files: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(JobFileError, match=re.escape(said)):
        stage.job(llm, files, **changes)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (({"python": "./nowhere/python"}, {}), "as `run_batch.llm.python`"),
        (({"model": "./gone"}, {}), "mend `run_batch.llm.model`"),
        (({}, {"oracle__extra": {"frobnicate": 1}}), "`run_batch.llm` can make nothing of `frobnicate`; it takes"),
    ],
)
def test_what_cannot_be_started_is_said_by_check_and_by_run(
    stage: OfflineStage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: tuple[dict[str, Any], dict[str, Any]],
    said: str,
) -> None:
    llm, changes = given
    stage.job(llm, **changes)
    for command in ("check", "run"):
        code, told = labelwright(monkeypatch, capsys, command, stage.file)
        assert code == 2
        assert said in told
    assert not stage.processes


def test_what_is_kept_of_a_job_can_be_read_again_and_holds_no_secret(stage: OfflineStage) -> None:
    job = stage.job({"env": {"HF_TOKEN": "hf_abc", "OMP_NUM_THREADS": 2}})
    kept = job.settings()["oracle"][0]["run_batch"]
    assert kept["command"] is None
    assert kept["llm"]["env"] == {"HF_TOKEN": "***", "OMP_NUM_THREADS": "2"}
    again = Job.of(json.loads(job.model_dump_json(exclude={"oracle"})) | {"oracle": job.settings()["oracle"]})
    assert again.oracle[0].own is not None
