"""Tapes: what is recorded comes back, byte for byte the same, and a tape that cannot serve says so."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import TapeError, TapeMiss
from agent.oracle import TapeHeader, TapeOracle, read_tape, write_tape
from agent.records import Answer, AnswerSchema, Message, Question, TextId, TokenChoice, Usage

HEADER = TapeHeader("qwen", "choice", 0.0, "for a test")
ANSWER = Answer("refund", "qwen", Usage(10, 2, 4), (TokenChoice("refund", -0.25, (("refund", -0.25), ("ex", -1.5))),))


def question(key: str) -> Question:
    schema = AnswerSchema({}, 8, ("refund",))
    return Question(key, TextId("t1"), (Message("user", "a text that is nobody's business"),), schema, "p")


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
logprobs = st.floats(-25, 0).map(lambda p: round(p, 4))
tokens = st.builds(
    TokenChoice, words, logprobs, st.lists(st.tuples(words, logprobs), max_size=3).map(tuple)
)  # fmt: skip
usages = st.none() | st.builds(Usage, st.integers(0, 9999), st.integers(0, 99), st.integers(0, 9))
answers = st.builds(
    Answer,
    words,
    st.just("qwen"),
    usages,
    st.lists(tokens, max_size=4).map(tuple),
    st.sampled_from(["stop", "length"]),
)


@given(st.dictionaries(st.text("0123456789abcdef", min_size=4, max_size=8), answers, max_size=5))
def test_what_was_recorded_comes_back(tmp_path_factory: pytest.TempPathFactory, found: dict[str, Answer]) -> None:
    path = tmp_path_factory.mktemp("tape") / "tape.jsonl.gz"
    assert write_tape(path, HEADER, found.items()) == len(found)
    header, read = read_tape(path)
    assert header == HEADER
    assert read == found


def test_the_same_answers_give_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    found = {f"{i:03}": ANSWER for i in range(50)}
    write_tape(tmp_path / "a.gz", HEADER, found.items())
    write_tape(tmp_path / "b.gz", HEADER, reversed(found.items()))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_a_tape_holds_no_text_and_no_prompt(tmp_path: Path) -> None:
    path = tmp_path / "tape.gz"
    write_tape(path, HEADER, [("k1", ANSWER)])
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    assert [set(line) for line in lines[1:]] == [{"key", "content", "finish", "usage", "tokens"}]


def test_probabilities_survive_rounding(tmp_path: Path) -> None:
    answer = Answer("a", "qwen", None, (TokenChoice("a", math.log(1 / 3), (("a", math.log(1 / 3)),)),))
    write_tape(tmp_path / "t.gz", HEADER, [("k", answer)])
    _, read = read_tape(tmp_path / "t.gz")
    assert math.exp(read["k"].tokens[0].logprob) == pytest.approx(1 / 3, rel=1e-3)


async def test_a_tape_answers_what_it_knows_and_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "tape.gz"
    write_tape(path, HEADER, [("k1", ANSWER)])
    oracle = TapeOracle("demo", path)
    assert await oracle.ask(question("k1")) == ANSWER
    assert "k1" in oracle
    assert len(oracle) == 1
    with pytest.raises(TapeMiss, match="no recorded answer for text t1") as caught:
        await oracle.ask(question("k2"))
    assert str(path) in str(caught.value)
    assert "labelwright record" in str(caught.value)
    assert "nobody's business" not in str(caught.value)
    await oracle.close()


def test_a_missing_tape_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="labelwright record"):
        TapeOracle("demo", tmp_path / "none.gz")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty file"),
        pytest.param(b"not gzip at all", id="not gzip"),
        pytest.param(gzip.compress(b""), id="nothing inside"),
        pytest.param(gzip.compress(b"\xff\xfe\x00"), id="not UTF-8"),
        pytest.param(gzip.compress(b"[1, 2]\n"), id="no header"),
        pytest.param(gzip.compress(b'{"format": "something else"}\n'), id="another format"),
        pytest.param(
            gzip.compress(b'{"format": "labelwright-tape", "version": 1}\n{"key": "k"}\n'), id="half a header"
        ),
        pytest.param(
            gzip.compress(
                b'{"format": "labelwright-tape", "version": 1, "model": "m", "mode": "choice"}\n{"key": "k"}\n'
            ),
            id="an answer without its parts",
        ),
        pytest.param(
            gzip.compress(b'{"format": "labelwright-tape", "version": 1, "model": "m", "mode": "choice"}\n[]\n'),
            id="a line that is no mapping",
        ),
        pytest.param(
            gzip.compress(
                b'{"format": "labelwright-tape", "version": 1, "model": "m", "mode": "choice"}\n'
                b'{"key": "k", "content": "c", "finish": "stop", "usage": [1], "tokens": [[1]]}\n'
            ),
            id="an answer of the wrong shape",
        ),
    ],
)
def test_a_broken_tape_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tape.gz"
    path.write_bytes(content)
    with pytest.raises(TapeError, match=str(path)):
        read_tape(path)


def test_a_tape_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.gz"
    write_tape(path, HEADER, [(f"{i}", ANSWER) for i in range(200)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TapeError, match="cannot be read"):
        read_tape(path)


def test_a_tape_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tape.gz"
    write_tape(path, HEADER, [(f"{i}", ANSWER) for i in range(200)])
    raw = bytearray(path.read_bytes())
    for place in range(20, len(raw), 17):
        raw[place] ^= 0x40
    path.write_bytes(raw)
    with pytest.raises(TapeError, match=str(path)):
        read_tape(path)


def test_a_tape_from_a_newer_version_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "tape.gz"
    path.write_bytes(gzip.compress(b'{"format": "labelwright-tape", "version": 99}\n'))
    with pytest.raises(TapeError, match=r"newer Labelwright.*upgrade"):
        read_tape(path)


def test_a_failed_write_leaves_the_old_tape_alone(tmp_path: Path) -> None:
    path = tmp_path / "tape.gz"
    write_tape(path, HEADER, [("k1", ANSWER)])
    (tmp_path / "tape.gz.part").mkdir()
    with pytest.raises(TapeError, match="cannot write"):
        write_tape(path, HEADER, [("k2", ANSWER)])
    assert set(read_tape(path)[1]) == {"k1"}
