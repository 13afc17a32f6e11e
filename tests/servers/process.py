"""The scripted server in a process of its own, for what kills, measures or outlives the process that asks."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def served(folder: Path, gold: Mapping[str, Any], *flags: object) -> Iterator[tuple[str, Path]]:
    """Base URL and log file of a server that runs until the block ends: `with served(tmp, gold, "--hang", 0.05)`."""
    truth, log = folder / "truth.jsonl", folder / "charges.jsonl"
    with truth.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": t, "label": v}) + "\n" for t, v in gold.items())
    command = [sys.executable, "-m", "tests.servers.scripted", "--gold", str(truth), "--log", str(log)]
    command.append("--until-stdin-ends")  # it does not outlive a caller that is killed
    command += [str(flag) for flag in flags]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, "the server did not start"
        try:
            yield said.split()[-1], log
        finally:
            process.terminate()
