"""The `labelwright` program, and `python -m agent`: all that it needs is loaded in one go, then `agent.cli` runs."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command line."""
    gc.disable()  # what is being imported stays: looking through it again and again takes a sixth of the time
    from agent.cli import main as run

    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # a batch of questions is many objects and no cycles
    gc.enable()
    try:
        run()
    finally:
        gc.freeze()  # the system takes all memory back at once, and nobody has to look for cycles in it first


if __name__ == "__main__":
    main()
