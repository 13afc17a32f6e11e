"""What a benchmark found: rows of figure, value, unit, target, whether it holds, and the rival.

Every benchmark writes `evals/results/NAME.json` and prints the same as a table; a missed target stays in the file.
"""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("labelwright", "numpy", "torch", "transformers", "scikit-learn", "sqlalchemy", "openai")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `target` is a sentence; `holds` is None where the figure is reported without a target."""

    figure: str
    value: float | int | str
    unit: str
    target: str = ""
    holds: bool | None = None
    rival: str = ""


@dataclass
class Outcome:
    """The rows of one benchmark, in the order in which they were found. `command` is what made them, where that is
    more than the name."""

    name: str
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    command: str = ""

    def add(
        self,
        figure: str,
        value: float | int | str,
        unit: str,
        *,
        target: str = "",
        holds: bool | None = None,
        rival: str = "",
    ) -> None:
        """Note a figure."""
        self.rows.append(Row(figure, value, unit, target, holds, rival))

    def keep(self) -> dict[str, object]:
        """Write the file with the rows so far, so that a long run that is ended leaves what it found. Returns it."""
        name = f"{self.name}-quick" if self.quick else self.name
        RESULTS.mkdir(exist_ok=True)
        data: dict[str, object] = {
            "name": self.name,
            "command": f"python -m evals.{self.command or self.name}" + (" --quick" if self.quick else ""),
            "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
            "versions": {p: _version(p) for p in PACKAGES},
            "rows": [asdict(r) for r in self.rows],
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
        return data

    def finish(self) -> int:
        """Write the file, print the table, and return the exit code: 1 where a target does not hold."""
        table = Table(title=str(self.keep()["command"]))
        for head in ("figure", "value", "unit", "target", "holds", "rival"):
            table.add_column(head, justify="right" if head == "value" else "left")
        for r in self.rows:
            held = {True: "yes", False: "NO", None: ""}[r.holds]
            value = f"{r.value:.4g}" if isinstance(r.value, float) else str(r.value)
            table.add_row(r.figure, value, r.unit, r.target, held, r.rival)
        Console(width=140).print(table)
        return int(any(r.holds is False for r in self.rows))


def is_quick() -> bool:
    """Whether `--quick` was asked for."""
    return "--quick" in sys.argv[1:]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"
