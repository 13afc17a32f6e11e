"""Label Studio's and Argilla's own packages read what we write, and what they write of it we read back.

They have an environment of their own: `make exchange` makes it. Without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.review.exchange import ImportReport, Kind, export_queue, import_queue
from tests.review.scenes import Scene, Waiting
from tests.review.test_round_trips import give, people, two

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(os.environ.get("LABELWRIGHT_EXCHANGE", ROOT / ".cache" / "exchange")) / "bin" / "python"
TEXTS = ["Who won?", "=1+1", "a\nb\r\n\tc", "nul \0", "half \ud800", '"quoted" \\ <b>&amp;', "\U0001f600 = ０", " "]

pytestmark = [
    pytest.mark.skipif(not PYTHON.exists(), reason=f"no {PYTHON}: `make exchange` makes it"),
    pytest.mark.slow,
]


def theirs(script: str, *args: Path) -> Any:
    """What a script says that runs in their environment."""
    command = [str(PYTHON), str(ROOT / "tests" / "review" / "theirs" / script), *map(str, args)]
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, env=clean)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def waiting(value: Any) -> list[Waiting]:
    """Ids are odd too, but for a lone surrogate: Label Studio's short export writes a question mark for it."""
    ids = [text.replace("\ud800", "x") + f"-{k}" for k, text in enumerate(TEXTS)]
    return [
        Waiting(text, value, id=i, confidence=0.5 + k / 100)
        for k, (i, text) in enumerate(zip(ids, TEXTS, strict=True))
    ]


def spoken(made: Scene, values: Sequence[Any]) -> int:
    said = [(k, ("ada", "bob@example.com")[k % 2], values[k % len(values)], 1.5 * k) for k in range(len(TEXTS))]
    give(made, said)
    return len(said)


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_label_studio_finds_nothing_wrong_and_its_exports_come_back(tmp_path: Path, kind: str) -> None:
    several = kind == "multilabel"
    values = [("business", "tech"), ("sport",)] if several else ["tech", "politics"]
    with two(tmp_path, waiting(("sport",) if several else "sport"), kind=kind) as (first, second):
        count = spoken(first, values)
        path = tmp_path / "out.json"
        export_queue(*first.parts, path, Kind.LABEL_STUDIO, everything=True)
        assert theirs("label_studio.py", path, path.with_suffix(".xml"), tmp_path) == []
        assert import_queue(*second.parts, tmp_path / "JSON" / "result.json", "x") == ImportReport(added=count)
        assert people(second) == people(first)
        short = import_queue(*second.parts, tmp_path / "JSON_MIN" / "result.json", "x")
        assert short.added + short.unchanged == count
        assert short.replaced == short.empty == short.cancelled == 0


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
def test_argilla_reads_the_data_set_and_its_records_come_back(tmp_path: Path, kind: str) -> None:
    several = kind == "multilabel"
    values = [("business", "tech"), ("sport",)] if several else ["tech", "politics"]
    with two(tmp_path, waiting(("sport",) if several else "sport"), kind=kind) as (first, second):
        count = spoken(first, values)
        folder, out = tmp_path / "out", tmp_path / "back.json"
        export_queue(*first.parts, folder, Kind.ARGILLA, everything=True)
        told = theirs("argilla.py", folder, out)
        assert told["question"] == ("MultiLabelQuestion" if several else "LabelQuestion")
        assert told["labels"] == list(first.task.names)
        assert told["statuses"] == ["submitted"]
        assert import_queue(*second.parts, out, "x") == ImportReport(added=count)
        assert people(second) == people(first)
