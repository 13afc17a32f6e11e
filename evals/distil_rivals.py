"""Ours beside SetFit, plain `Trainer` and cleanlab-filtered training: same encoder, same labels, same test texts.

    make rivals
    python -m evals.distil_rivals [--quick] [--sets banking77,bbc] [--oracles instance,symmetric] [--threads 2]

Each learns from the same labels of simulated oracles (evals/_oracles.py), which know nothing of people, cut at the
same number of tokens; the libraries take one class a text, ours also takes an oracle's probabilities and what a
job's student thinks of each label, as it does in a job. Who is right most often has rank one; ties share a rank.
Needs ../shared/data (or LABELWRIGHT_SHARED) and the environment that `make rivals` builds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

from agent.distill.refresh import pinned
from agent.distill.saving import replacing_file
from agent.job import DistilSettings
from agent.student.encoder import BUILTIN, Encoder
from evals import _corpora
from evals._distilling import EPOCHS, QUICK_LABELS, QUICK_TOKENS, SEED, TOKENS, Bools, Known, known, student
from evals._oracles import answers
from evals.outcome import Outcome

FOLDER = _corpora.ROOT / ".cache" / "distillers"
PYTHON = FOLDER / "bin" / "python"
SAID = FOLDER / "said"
"""What the libraries said before, by all that they were given and their versions; `make rivals` begins anew."""
LABELS = {"banking77": 1500, "clinc150": 1500, "dbpedia14": 600, "bbc": 600}
ORACLES = ("instance", "symmetric")
RIVALS = ("setfit", "trainer", "cleanlab")
OURS = "labelwright"
TIMEOUT_S = 3600


def missing() -> str | None:
    """Why the libraries cannot be measured here, or None."""
    if (why := _corpora.missing()) is not None or PYTHON.exists():
        return why
    return f"no environment at {PYTHON}: run `make rivals` first"


def rival(name: str, labels: Known, tokens: int, threads: int, passes: int = EPOCHS) -> tuple[Bools, float, str]:
    """Which test texts another library's model gets right, its seconds, and its version.

    Raises RuntimeError with its last words where it fails.
    """
    corpus = labels.corpus
    given = {
        "texts": labels.texts,
        "labels": labels.targets.argmax(axis=1).tolist(),
        "test": [corpus.texts[i] for i in corpus.test],
        "names": corpus.names,
        "encoder": str(Encoder.load(BUILTIN).folder),
        "tokens": tokens,
        "passes": passes,
        "threads": threads,
        "seed": SEED,
    }
    told = _kept(name, given)
    return np.array(told["said"]) == corpus.labels[corpus.test], told["seconds"], told["library"]


def _kept(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a library makes of what it is given; kept, since it takes minutes and says the same again, wherever the
    encoder lies."""
    program = Path(__file__).parent / "_distillers.py"
    what = [
        name,
        json.dumps({**given, "encoder": BUILTIN}),
        program.read_text(encoding="utf-8"),
        *sorted(p.name for p in FOLDER.glob("lib/*/site-packages/*.dist-info")),
    ]
    path = SAID / f"{name}-{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]}.json"
    if not path.exists():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
            words = (str(PYTHON), str(program), name, temporary)
            done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
            if done.returncode:
                raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-1000:]}")
            SAID.mkdir(parents=True, exist_ok=True)
            with replacing_file(path) as partial:
                partial.write_text((folder / "said.json").read_text(encoding="utf-8"), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def measure(outcome: Outcome, name: str, kind: str, threads: int) -> dict[str, float]:
    """Accuracy of each on one set and oracle."""
    corpus = _corpora.corpus(name)
    count, tokens = (QUICK_LABELS, QUICK_TOKENS) if outcome.quick else (LABELS[name], TOKENS[name])
    labels = known(corpus, answers(corpus, kind, SEED), count)
    found, seconds = student(labels, DistilSettings(epochs=EPOCHS), tokens)
    right = {OURS: float(found.mean())}
    where = f"{name}, {len(labels.rows):,} labels of the {kind} oracle ({labels.right:.1%} right)"
    outcome.add(f"{where}: {OURS}", round(100 * right[OURS], 2), f"% right, {seconds:.0f} s")
    for library in RIVALS:
        found, seconds, version = rival(library, labels, tokens, threads)
        right[library] = float(found.mean())
        outcome.add(f"{where}: {library}", round(100 * right[library], 2), f"% right, {seconds:.0f} s", rival=version)
    print(where, {library: round(100 * share, 2) for library, share in right.items()}, flush=True)
    return right


def rank(outcome: Outcome, cells: list[dict[str, float]]) -> None:
    ranks = np.array([rankdata([-cell[name] for name in (OURS, *RIVALS)]) for cell in cells]).mean(axis=0)
    for name, mean in zip((OURS, *RIVALS), ranks, strict=True):
        aimed = name == OURS and not outcome.quick  # a hundred labels are to show that it runs
        outcome.add(
            f"mean rank of {name}",
            round(float(mean), 2),
            f"of {len(cells)} sets and oracles, 1 is best",
            target="none ahead" if aimed else "",
            holds=bool(mean <= ranks.min()) if aimed else None,
        )


def arguments() -> argparse.Namespace:
    said = argparse.ArgumentParser(prog="python -m evals.distil_rivals", description=__doc__.split("\n")[0])
    listed = lambda text: tuple(text.split(","))  # noqa: E731
    said.add_argument("--quick", action="store_true", help="BBC news, 100 labels of one oracle")
    said.add_argument("--sets", type=listed, default=tuple(LABELS))
    said.add_argument("--oracles", type=listed, default=ORACLES)
    said.add_argument("--threads", type=int, default=2)
    args = said.parse_args()
    if args.quick:
        args.sets, args.oracles = ("bbc",), ORACLES[:1]
    return args


def main() -> int:
    args = arguments()
    if (why := missing()) is not None:
        print(why)
        return 2
    outcome = Outcome("distil_rivals", args.quick)
    with pinned(args.threads):
        cells = []
        for name in args.sets:
            cells += [measure(outcome, name, kind, args.threads) for kind in args.oracles]
            outcome.keep()
    rank(outcome, cells)
    return outcome.finish()


if __name__ == "__main__":
    sys.exit(main())
