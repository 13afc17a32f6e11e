"""Run where `label-studio-sdk` is: have it look through a file of tasks, and write its own exports of it.

    python label_studio.py TASKS.json CONFIG.xml FOLDER

Prints a JSON list of what it finds wrong. FOLDER gets `JSON` and `JSON_MIN` exports, each as `result.json`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from label_studio_sdk.converter import Converter  # type: ignore[import-not-found]
from label_studio_sdk.label_interface import LabelInterface  # type: ignore[import-not-found]


def main(tasks: Path, config: Path, folder: Path) -> None:
    interface = LabelInterface(config.read_text("utf-8"))
    interface.validate()
    wrong = []
    numbered = []
    for number, task in enumerate(json.loads(tasks.read_text("utf-8")), start=1):
        bare = {"data": task["data"]}
        wrong += [] if interface.validate_task(bare) else [f"task {number}"]
        wrong += [f"task {number}: {p}" for p in task["predictions"] if not interface.validate_prediction(p)]
        wrong += [f"task {number}: {a}" for a in task["annotations"] if not interface.validate_annotation(a)]
        # as a server gives it back: numbers of its own for tasks and annotations
        for place, annotation in enumerate(task["annotations"]):
            annotation.update(id=1000 * number + place)
        numbered.append({**task, "id": number})
    source = folder / "numbered.json"
    source.write_text(json.dumps(numbered), encoding="ascii")
    for form in ("JSON", "JSON_MIN"):
        made = Converter(str(config), str(folder))
        made.convert(str(source), str(folder / form), form, is_dir=False)
    print(json.dumps(wrong))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
