"""A new model takes the place of the one before it unless it is worse on the gold texts, beyond chance.

People's labels of an audit are among what a model learns from, so they would flatter the newer one; gold teaches
none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.distilling import MODEL, REFUSED
from agent.records import Prediction, Value
from agent.report.comparison import paired
from agent.workbench import MEASURE, Workbench

BEFORE = ".model.before"
"""Where the model that was there waits for the verdict, in the job's output folder."""


def made_and_kept(bench: Workbench, make: Callable[[], Path], *, promote: bool = False) -> Path:
    """The model's folder, with what `make` put there or, where that is worse, what had been there.

    A model that was refused lies in `model-refused`. Where a process is killed before the verdict, the next one that
    makes a model gives it first. `promote` takes the new one, whatever gold says.
    """
    from agent.distill.saving import replacing

    folder, before = bench.output(MODEL), bench.output(BEFORE)
    if before.is_dir():
        _judge(bench, promote=promote)
    if is_measurable(bench, folder):
        with replacing(before) as partial:
            shutil.copytree(folder, partial, copy_function=os.link, dirs_exist_ok=True)
    try:
        make()
    except BaseException:
        shutil.rmtree(before, ignore_errors=True)  # a model is replaced in one step, so the old one still stands
        raise
    if before.is_dir():
        _judge(bench, promote=promote)
    return folder


def is_measurable(bench: Workbench, folder: Path) -> bool:
    """Whether there are gold texts, and a model in the folder that can be asked about them."""
    from agent.distill import is_answerer, is_grader, is_tagger, is_writer

    if not bench.gold or not (folder / "config.json").is_file():
        return False
    return bool(bench.task.names) or any(known(folder) for known in (is_tagger, is_grader, is_answerer, is_writer))


def predicted(bench: Workbench, folder: Path) -> Prediction:
    """What a model says of the gold texts."""
    from agent.distill import load_model

    return load_model(folder, images=bench.job.images).predict([t.text for t, _ in bench.gold])


def _judge(bench: Workbench, *, promote: bool) -> None:
    """Keep the model that is in place, or put the one before it back."""
    folder, before, refused = bench.output(MODEL), bench.output(BEFORE), bench.output(REFUSED)
    if not folder.is_dir():
        before.rename(folder)
        return
    is_same = _is_same(folder, before)
    if not promote and not is_same and (worse := _worse(bench, folder, before)) is not None:
        shutil.rmtree(refused, ignore_errors=True)
        folder.rename(refused)
        before.rename(folder)
        bench.watch.note(
            f"the new model is worse on gold than the one before it ({worse}), which is kept; the new one is in "
            f"{refused}, and `labelwright distil JOB.YAML --promote` takes such a one all the same"
        )
        return
    shutil.rmtree(before, ignore_errors=True)
    if not is_same:  # else nothing was made, perhaps since it would be refused once more
        shutil.rmtree(refused, ignore_errors=True)


def _worse(bench: Workbench, folder: Path, before: Path) -> str | None:
    """By how much the new model is worse, in words; None where chance may explain it, or it is as good."""
    truth = [v for _, v in bench.gold]
    new, old = (list(predicted(bench, f).values) for f in (folder, before))
    return worse(bench, truth, new, old)


def worse(bench: Workbench, truth: Sequence[Value], new: Sequence[Value], old: Sequence[Value]) -> str | None:
    """The same of what two models said."""
    found = paired(bench.task, truth, new, old, bench.rng(MEASURE, 1_000_002))
    if found["hi"] >= 0:
        return None
    name = str(found["metric"]).replace("_", " ")
    return (
        f"{name} {found['selected']:.1%} after {found['random']:.1%} of {found['n']:,} texts, "
        f"95 % of the difference {100 * found['lo']:+.1f} to {100 * found['hi']:+.1f} points"
    )


def _is_same(folder: Path, before: Path) -> bool:
    """Whether nothing was put into its place: weights are the same file then."""
    return all((before / f.name).exists() and f.samefile(before / f.name) for f in folder.glob("*.safetensors"))
