"""Several encoders learn the same labels; the best is kept, and the card says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.distill import Compared, compare, distil
from agent.errors import DataError
from agent.job import DistilSettings
from agent.student.encoder import Encoder
from tests.distill.making import examples, make_encoder

QUICK = DistilSettings(epochs=1, learning_rate=1e-4)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> list[Encoder]:
    """The larger first."""
    folder = tmp_path_factory.mktemp("several")
    return [Encoder.load(str(make_encoder(folder / f"of{n}", layers=n))) for n in (3, 1)]


def compared(encoders: list[Encoder], folder: Path, notes: list[str]) -> Compared:
    return compare(examples(300), QUICK, encoders, folder=folder, note=notes.append)


def test_of_two_alike_the_smaller_is_kept_trained_on_all_labels(encoders: list[Encoder], tmp_path: Path) -> None:
    notes: list[str] = []
    found = compared(encoders, tmp_path / "m", notes)
    distil(examples(300), QUICK, encoder=encoders[1], folder=tmp_path / "plain")
    assert found.best == encoders[1].name
    assert [t.name for t in found.trials] == [e.name for e in encoders]
    assert found.trials[0].megabytes > found.trials[1].megabytes
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("m", "plain")]
    assert weights[0] == weights[1]
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "| encoders compared | of3, of1 |" in card
    assert "no other is better beyond chance (labels held out of the training)" in card
    assert str(tmp_path.parent) not in card
    assert [n for n in notes if "is tried" in n] == ["encoder 1 of 2 is tried: of3", "encoder 2 of 2 is tried: of1"]
    assert not (tmp_path / ".m.training").exists()


def test_the_table_has_a_row_for_each_and_says_which_is_kept(encoders: list[Encoder], tmp_path: Path) -> None:
    head, *rows = compared(encoders, tmp_path / "m", []).table()
    assert head[1] == "right of 60 held out"
    assert [(row[0], row[-1]) for row in rows] == [(encoders[0].name, ""), (encoders[1].name, "kept")]
    assert all(" to " in row[2] for row in rows)


def test_an_encoder_named_twice_or_alone_is_refused(encoders: list[Encoder], tmp_path: Path) -> None:
    for named in ([encoders[0]], [encoders[0], encoders[0]]):
        with pytest.raises(DataError, match="each named once"):
            compared(named, tmp_path / "m", [])
    assert not list(tmp_path.iterdir())
