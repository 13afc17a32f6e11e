"""What a person sees of a vLLM server's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.oracle.serverlog import doing, last_words


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "serve.log"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"(APIServer pid=7) INFO 11-30 06:01:02 [api_server.py:1896] vLLM API server version 0.12\n",
         "vLLM API server version 0.12"),
        (b"\x1b[1;36m(EngineCore_DP0 pid=8)\x1b[0;0m INFO 11-30 06:01:02 [core.py:77] Loading weights\n\n",
         "Loading weights"),
        (b"Loading shards:   0% 0/2\rLoading shards:  50% 1/2\r", "Loading shards:  50% 1/2"),
        (b"Started\n  ----  \n", "Started"),
        (b"", ""),
    ],
)  # fmt: skip
def test_what_a_server_is_at_is_its_last_line_without_dress(log: Path, written: bytes, said: str) -> None:
    log.write_bytes(written)
    assert doing(log) == said


def test_no_log_yet_says_nothing(log: Path) -> None:
    assert doing(log) == ""
    assert last_words(log) == []


def test_the_cause_is_shown_before_the_last_lines(log: Path) -> None:
    frames = "".join(f"  File module{i}.py\n" for i in range(40))
    log.write_text(f"INFO ok\nValueError: no room for the cache\n{frames}RuntimeError: Engine core failed\n")
    first, gap, *rest = last_words(log)
    assert first == "ValueError: no room for the cache"
    assert gap == "..."
    assert rest[-1] == "RuntimeError: Engine core failed"
    assert len(rest) == 12
