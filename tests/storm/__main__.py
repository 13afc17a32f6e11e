"""`python -m tests.storm race|faults|kills|batches`: prints its figures, and ends with 1 where one does not hold."""

from __future__ import annotations

import importlib
import sys

STORMS = ("race", "faults", "kills", "batches")


def main() -> int:
    name, *words = sys.argv[1:] or [""]
    if name not in STORMS:
        print(f"usage: python -m tests.storm {'|'.join(STORMS)} [--count N] [--seed N]", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"tests.storm.{name}").main(words)
    return code


if __name__ == "__main__":
    sys.exit(main())
