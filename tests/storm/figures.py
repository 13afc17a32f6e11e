"""What a storm found, as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Rows of a figure, its value, and what it should be; `problems` are single cases that should not be."""

    title: str
    rows: list[tuple[str, str, str, bool | None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, value: object, target: str = "", holds: bool | None = None) -> None:
        """Note a figure; `holds` is None where it is only told."""
        said = f"{value:,}" if isinstance(value, int) else f"{value:,.3f}" if isinstance(value, float) else str(value)
        self.rows.append((name, said, target, holds))

    @property
    def failed(self) -> list[str]:
        """What does not hold."""
        return [f"{name}: {value}, not {target}" for name, value, target, holds in self.rows if holds is False]

    def finish(self, shown: int = 20) -> int:
        """Print it all; 1 where something does not hold."""
        print(self.title)
        for name, value, target, holds in self.rows:
            mark = {True: "holds", False: "DOES NOT HOLD", None: ""}[holds]
            print(f"  {name:<52}{value:>16}  {target:<22}{mark}")
        for problem in self.problems[:shown]:
            print(f"  ! {problem}")
        if len(self.problems) > shown:
            print(f"  ! and {len(self.problems) - shown} more")
        return int(bool(self.failed or self.problems))


def spread(values: Sequence[float]) -> str:
    """Least, median and most."""
    ordered = sorted(values)
    return f"{ordered[0]:.3f} / {ordered[len(ordered) // 2]:.3f} / {ordered[-1]:.3f}" if ordered else "none"
