"""Run where `argilla` is: have it read a data set's folder, and write the records back as it would.

    python argilla.py FOLDER OUT.json

There is no server: settings, data set and records go through Argilla's own classes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest.mock import MagicMock

sys.path = [p for p in sys.path if Path(p).resolve() != Path(__file__).resolve().parent]  # this file has its name

import argilla  # type: ignore[import-not-found]  # noqa: E402
from argilla._models import DatasetModel  # type: ignore[import-not-found]  # noqa: E402
from argilla.records._io import JsonIO  # type: ignore[import-not-found]  # noqa: E402


def main(folder: Path, out: Path) -> None:
    argilla.Argilla._get_default = classmethod(lambda cls: MagicMock())
    settings = argilla.Settings.from_json(folder / ".argilla" / "settings.json")
    settings.validate()
    DatasetModel(**json.loads((folder / ".argilla" / "dataset.json").read_text("utf-8")))
    records = JsonIO._records_from_json(folder / "records.json")
    statuses = [r.status for record in records for r in record.responses]
    # what goes to a server: every response, suggestion and piece of metadata is checked by its model
    for record in records:
        for kept in (record.suggestions, record.metadata, record.vectors):
            kept.api_models()
        for response in record.responses:
            argilla.responses.UserResponse([response])
    JsonIO.to_json(records, out)
    question = settings.questions["label"]
    told = {"question": type(question).__name__, "fields": [f.name for f in settings.fields],
            "labels": question.labels, "statuses": sorted({s.value for s in statuses})}  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
