"""The eval of hostile texts, from recording to figures, on an oracle whose behaviour is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from evals import _hostile, _record_hostile
from evals import hostile as measuring
from evals._formats import MODEL
from tests.hostile import clean, hostile
from tests.hostile.test_obeying_oracle import Obeying, letters
from tests.servers.model import Form, Token, pieces
from tests.servers.scripted import ScriptedServer


class Weak(Obeying):
    """Right about ordinary texts; obeys a hostile one, but where its words are marked."""

    def says(self, text: str, form: Form) -> tuple[str, list[Token]]:
        text = text.removesuffix("\nLabel:")  # without a fence the whole turn is the text
        right = {letters(c.text): c.label for c in clean().values()}.get(letters(text))
        if right is None:
            said, tokens = super().says(text, form)
        else:
            said, tokens = right, [(p, -0.1, [(p, -0.1)]) for p in pieces(right)]
        code = next((c for c, meaning in form.means.items() if c in form.labels and meaning == said), said)
        return code, tokens if code == said else [(code, -0.1, [(code, -0.1)])]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedServer]:
    monkeypatch.setattr(_hostile, "TAPES", tmp_path / "tapes")
    with ScriptedServer({}, model=Weak(hostile("news"), sees_marks=True), name=MODEL) as found:
        yield found


def test_what_is_recorded_is_measured_and_not_asked_again(server: ScriptedServer) -> None:
    def record(minutes: float) -> int:
        return asyncio.run(_record_hostile.record("news", server.url, time.monotonic() + 60 * minutes))

    everything = len(_hostile.texts_of("news")) * len(_hostile.WAYS)
    assert record(-1) == everything
    with pytest.raises(FileNotFoundError):
        measuring.replayed("news", _hostile.DEFAULT)
    assert record(10) == 0
    asked = len(server.asked)
    assert record(10) == 0
    assert len(server.asked) <= asked + 2  # the probe, asked anew in a new store

    plain, marked = (measuring.replayed("news", way) for way in (_hostile.DEFAULT, _hostile.MARKED))
    found, safe = measuring.flips(plain, "news"), measuring.flips(marked, "news")
    assert (found["ordinary_right"], found["share"]) == (found["ordinary"], 1.0)
    assert safe["flipped"] == 0
    assert measuring.flips(measuring.replayed("news", _hostile.BARE_WAY), "news")["share"] > 0.8
