"""`serve`: a run starts its own vLLM and leaves no process behind, however it ends. The vLLM is a stand-in."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.errors import EndpointError, JobFileError
from agent.job import Job
from agent.loop import run
from agent.oracle.process import GRACE_S, Note, machine, process_of
from agent.store import Store
from agent.store.locks import FileLock
from agent.watch import Silent
from tests.servers.charges import read_log
from tests.whole.jobs import labelwright, truth, write_job
from tests.whole.staging import QUICK, ROOT, Stage, Start, Told, until

SLOW, ONE_BY_ONE = ("--latency-ms", 300), {"oracle__max_concurrency": 1}  # six seconds for twenty texts


class ServingStage(Stage):
    """A folder with a job that serves its own model, and the stand-in that it serves it with."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.charges = folder / "charges.jsonl"

    def job(self, *args: object, serve: dict[str, Any] | None = None, **changes: Any) -> Job:
        """`args` are the stand-in's."""
        words = ["--pids", self.pids, "--gold", self.gold, "--log", self.charges, *args]
        told = {"model": "./model", "python": "./python", "args": [str(w) for w in words], "ready_s": 200}
        price = {"gpu_hour": 2}
        more = {"oracle__serve": told | (serve or {}), "oracle__model": "qwen", "oracle__price": price}
        return Job.load(write_job(self.folder, **(QUICK | more | changes)))

    @property
    def asked(self) -> list[str]:
        """Texts that answers were charged for."""
        rows = read_log(self.charges) if self.charges.exists() else []
        return [str(row["text"]) for row in rows if row["text"] in truth()]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[ServingStage]:
    made = ServingStage(tmp_path)
    yield made
    made.clear()


# The end ------------------------------------------------------------------------------------------------------------


def test_a_run_starts_its_server_uses_it_and_leaves_none(stage: ServingStage) -> None:
    told = Told()
    outcome = run(stage.job(), told)
    assert outcome.labels == 20
    assert len(stage.processes) == 2, "a server and its worker"
    assert stage.is_left_clean()
    assert f"local: starting vLLM with ./model; its log is {stage.log}" in told
    assert "of GPU time; " in told, told.notes
    assert any("Started on" in line for line in stage.log.read_text().splitlines())


def test_the_next_run_finds_the_answers_though_the_port_is_another(stage: ServingStage) -> None:
    run(stage.job())
    run(stage.job(stop__max_rounds=2))
    assert len(stage.processes) == 4, "it was started once more, as there was more to ask"
    assert stage.labels == 40
    assert len(stage.asked) == len(set(stage.asked)) == 40, "nothing was bought twice"
    run(stage.job(stop__max_rounds=2))
    assert len(stage.processes) == 4, "a run with nothing to ask starts nothing"
    assert stage.is_left_clean()


@pytest.mark.parametrize("loading", [True, False], ids=["loading", "asking"])
def test_ctrl_c_ends_the_server(stage: ServingStage, start: Start, loading: bool) -> None:
    stage.job(*(["--opens", stage.folder / "never"] if loading else SLOW), **ONE_BY_ONE)
    one = start()
    assert until(lambda: stage.alive if loading else stage.asked), one.said
    assert one.end(signal.SIGINT) == 130, one.said
    assert "run the same command again to go on" in one.said
    assert "Traceback" not in one.said
    assert stage.is_left_clean()


def test_the_second_ctrl_c_ends_a_server_that_does_not_heed_the_first(stage: ServingStage, start: Start) -> None:
    stage.job("--opens", stage.folder / "never", "--stubborn")
    one = start()
    assert until(lambda: len(stage.alive) == 2 and "Loading" in stage.log.read_text())
    one.send(signal.SIGTERM)
    assert until(lambda: "press Ctrl-C again" in one.said)
    assert one.end(signal.SIGINT, GRACE_S / 2) == 130, one.said
    assert "Traceback" not in one.said
    assert not stage.alive


# kill -9 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loading", [True, False], ids=["loading", "asking"])
def test_what_a_killed_run_left_is_taken_over_and_ended(stage: ServingStage, start: Start, loading: bool) -> None:
    opens = stage.folder / "opens"
    stage.job("--opens", opens, *SLOW, **ONE_BY_ONE)
    one = start()
    assert until(lambda: stage.alive)
    if not loading:
        opens.touch()
        assert until(lambda: stage.asked)
    one.end(signal.SIGKILL)
    assert len(stage.alive) == 2, "a server outlives a run that is killed"
    opens.touch()
    told = Told()
    assert run(stage.job("--opens", opens, *SLOW), told).labels == 20
    assert "taking over the vLLM that an earlier run left" in told
    assert len(stage.processes) == 2, "no second one was started"
    assert stage.is_left_clean()


def test_a_server_that_was_started_in_another_way_is_ended_first(stage: ServingStage, start: Start) -> None:
    stage.job(*SLOW, **ONE_BY_ONE)
    one = start()
    assert until(lambda: stage.asked)
    one.end(signal.SIGKILL)
    told = Told()
    run(stage.job(), told)
    assert "ending the vLLM that an earlier run left: the job starts it in another way now" in told
    assert len(stage.processes) == 4
    assert stage.is_left_clean()


def test_what_a_killed_run_left_is_ended_where_nothing_is_to_be_asked(stage: ServingStage, start: Start) -> None:
    stage.job(*SLOW, **ONE_BY_ONE)
    one = start()
    assert until(lambda: stage.asked)
    one.end(signal.SIGKILL)
    with Store.open(f"sqlite:///{stage.folder / 'out' / 'labelwright.db'}") as store:
        spent = store.spending("small").spent + store.spending("small").reserved
    told = Told()
    run(stage.job(budget__dollars=max(1, spent) / 1e6), told)
    assert "ending the vLLM that an earlier run left" in told
    assert stage.is_left_clean()


def test_a_note_whose_number_is_another_programs_by_now_harms_nobody(stage: ServingStage) -> None:
    job = stage.job()
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) as other:
        known = process_of(other.pid)
        assert known is not None
        stage.note.parent.mkdir()
        Note(other.pid, known.started - 1, machine(), 1, "what", 0.0).write(stage.note)
        run(job)
        assert other.poll() is None
        other.kill()
    assert stage.is_left_clean()


def test_a_server_that_no_run_wants_any_more_is_ended_by_its_keeper(tmp_path: Path) -> None:
    pids, lock = tmp_path / "pids", tmp_path / "lock"
    program = f"import os, signal; open({str(pids)!r}, 'w').write(f'{{os.getpid()}}\\n'); signal.pause()"
    keeper = [sys.executable, "-I", str(ROOT / "agent" / "oracle" / "keeper.py"), str(lock), "0.2", "0.2"]
    owner = FileLock(lock, "this", "wait")
    command = [*keeper, sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert until(lambda: pids.exists() and pids.read_text().endswith("\n"))
        assert process.poll() is None, "it stays as long as a run wants it"
        owner.close()
        process.wait(60)
    server = process_of(int(pids.read_text()))
    assert server is None or not server.runs


def test_a_keeper_that_nobody_noted_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    keeper = [sys.executable, "-I", str(ROOT / "agent" / "oracle" / "keeper.py"), str(tmp_path / "lock"), "9", "9"]
    made = tmp_path / "made"
    ended = subprocess.run([*keeper, "touch", str(made)], stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert ended.returncode == 1
    assert not made.exists()


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_a_server_that_dies_while_loading_is_told_with_the_end_of_its_log(
    stage: ServingStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.job("--dies")
    code, said = labelwright(monkeypatch, capsys, "run", stage.file)
    assert code == 2
    assert "oracle local: vLLM ended while it was loading, with code 1" in said
    assert f"The end of its log, {stage.log}" in said
    assert "ValueError: no room for the weights of this model" in said
    assert stage.is_left_clean()


def test_a_server_that_is_never_ready_is_told_and_ended(stage: ServingStage) -> None:
    class Waits(Silent):
        def loading(self, oracle: str, seconds: float, said: str) -> None:
            assert until(lambda: "Loading" in stage.log.read_text())

    with pytest.raises(EndpointError, match=r"not ready after 0.5 s; raise `serve.ready_s`(.|\n)*Loading model"):
        run(stage.job("--opens", stage.folder / "never", serve={"ready_s": 0.5}), Waits())
    assert stage.is_left_clean()


def test_a_server_that_dies_in_the_middle_ends_the_run_with_everything_kept(stage: ServingStage) -> None:
    told = Told(lambda: os.kill(stage.processes[0], signal.SIGKILL))
    job = stage.job(oracle__max_concurrency=2)
    with pytest.raises(EndpointError, match=r"serve-local.log\): .*; look at that log, then run again"):
        run(job, told)
    assert "local: vLLM ended by itself, with code 137" in told
    assert stage.is_left_clean()
    bought = len(set(stage.asked))
    assert bought >= 5
    assert run(job).labels == 20
    assert len(stage.asked) <= 20 + 2, "only what was under way was asked again"


def test_another_port_is_tried_where_a_program_took_the_first(stage: ServingStage) -> None:
    told = Told()
    assert run(stage.job("--loses-its-port", stage.folder / "lost"), told).labels == 20
    assert "first; trying another one" in told
    assert stage.is_left_clean()


def test_a_second_run_starts_no_second_server(
    stage: ServingStage, start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.job("--opens", stage.folder / "never")
    one = start()
    assert until(lambda: stage.alive)
    code, said = labelwright(monkeypatch, capsys, "run", stage.file)
    one.end(signal.SIGTERM)
    assert code == 2
    assert "another run owns this job" in said
    assert len(stage.processes) == 2
    assert stage.is_left_clean()


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        ({"python": "./nowhere/python"}, "no program ./nowhere/python; give the interpreter of the environment"),
        ({"python": sys.executable}, "has no vllm; install it there"),
        ({"model": "./gone"}, "no folder"),
        ({"model": "some/where/else"}, "or give a hub id"),
    ],
)
def test_what_cannot_be_started_is_said_by_check_and_by_run(
    stage: ServingStage,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    serve: dict[str, str],
    said: str,
) -> None:
    stage.job(serve=serve)
    for command in ("check", "run"):
        code, told = labelwright(monkeypatch, capsys, command, stage.file)
        assert code == 2
        assert said in told
    assert not stage.processes


# Other commands -----------------------------------------------------------------------------------------------------


def test_only_a_pilot_starts_a_server_and_ends_it(
    stage: ServingStage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.job()
    code, said = labelwright(monkeypatch, capsys, "check", stage.file)
    assert code == 0, said
    assert "oracle local: vLLM is in" in said
    assert labelwright(monkeypatch, capsys, "estimate", stage.file)[0] == 0
    assert not stage.processes
    code, said = labelwright(monkeypatch, capsys, "estimate", stage.file, "--pilot", 10)
    assert code == 0, said
    assert len(stage.processes) == 2
    assert stage.is_left_clean()
    for command in ("status", "report"):
        labelwright(monkeypatch, capsys, command, stage.file)
    assert len(stage.processes) == 2
    code, said = labelwright(
        monkeypatch, capsys, "record", stage.file, "--limit", 5, "--output", stage.folder / "t.gz"
    )
    assert code == 0, said
    assert len(stage.processes) == 4
    assert stage.is_left_clean()


def test_the_link_of_an_environments_interpreter_is_not_followed(stage: ServingStage) -> None:
    """Resolved, it would be the system's own, without vLLM."""
    home = stage.folder / "venv" / "bin"
    home.mkdir(parents=True)
    shutil.move(stage.folder / "python", home / "real")
    (home / "python").symlink_to("real")
    assert run(stage.job(serve={"python": "venv/bin/python"})).labels == 20
    assert stage.is_left_clean()


# The job file -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"serve": {"args": ["--port", 8000]}}, "--port is set by Labelwright; leave it out"),
        ({"serve": {"args": ["--model=other"]}}, "--model is set by Labelwright; leave it out"),
        ({"serve": {"args": ["--trust-remote-code"]}}, "runs whatever code came with a model, and is refused"),
        ({"oracle__base_url": "http://127.0.0.1:1/v1"}, "needs exactly one of `base_url`"),
        ({"oracle__mode": "batch"}, "`serve` answers at once: it has no `mode: batch`"),
        ({"serve": {"modle": "x"}}, "did you mean `model`"),
    ],
)
def test_what_makes_no_sense_is_told(stage: ServingStage, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(JobFileError, match=re.escape(said)):
        stage.job(**changes)


def test_numbers_are_words_for_a_program_and_secrets_are_not_kept(stage: ServingStage) -> None:
    job = stage.job("--api-key", "sk-abc", serve={"env": {"OMP_NUM_THREADS": 2, "HF_TOKEN": "hf_abc"}})
    serve = job.oracle[0].serve
    assert serve is not None
    assert serve.env["OMP_NUM_THREADS"] == "2"
    assert "abc" not in json.dumps(job.settings())
    assert "hf_abc" not in repr(job)
    assert Job.of({**json.loads(job.model_dump_json(exclude={"oracle"})), "mode": "batch", "oracle": [
        {"model": "qwen", "serve": {"model": "m"}}]}).oracle[0].in_batches is False  # fmt: skip
