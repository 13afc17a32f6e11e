"""A model that is worse than the one before it does not take its place, unless somebody says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import delivery, promoting
from agent.distill import Model
from agent.distill.saving import replacing
from agent.job import Job
from agent.loop import run
from agent.workbench import Workbench
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

POOL = 300


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a job that has been run, with a good model; its endpoint is gone."""
    server = ScriptedServer(dict(truth(POOL))).start()
    try:
        changes = {"oracle__base_url": server.url, "selection__batch": POOL, "selection__cold_start": POOL}
        folder = tmp_path_factory.mktemp("finished")
        run(Job.load(write_job(folder, pool=POOL, people__threshold=0.0, stop__max_rounds=1, **changes)))
        return folder
    finally:
        server.stop()


@pytest.fixture
def path(finished: Path, tmp_path: Path) -> Path:
    """A copy of its own of that job."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "job.yaml"


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def spoilt(bench: Workbench, folder: Path) -> Callable[[], Path]:
    """Makes a model that says one class of every text."""

    def make() -> Path:
        model = Model.load(folder)
        model.network.classifier().weight.data.zero_()  # type: ignore[union-attr]
        with replacing(folder) as partial:
            shutil.copytree(folder, partial, dirs_exist_ok=True)
            model.network.save(partial)  # type: ignore[union-attr]
        return folder

    return make


def test_a_worse_model_is_put_aside_and_said(path: Path) -> None:
    with Workbench(Job.load(path)) as bench:
        folder = bench.output("model")
        before, said = weights(folder), []
        bench.watch.note = said.append  # type: ignore[method-assign]
        assert promoting.made_and_kept(bench, spoilt(bench, folder)) == folder
        assert weights(folder) == before
        assert weights(bench.output("model-refused")) != before
        assert any("worse on gold" in note and "--promote" in note for note in said)
        promoting.made_and_kept(bench, spoilt(bench, folder), promote=True)
        assert weights(folder) != before
        assert not bench.output("model-refused").exists()
        assert not bench.output(promoting.BEFORE).exists()


def test_where_a_process_ends_before_the_verdict_the_next_gives_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndsError(BaseException):
        """Stands for the end of the process."""

    def ends(*args: object, **kwargs: object) -> None:
        raise EndsError

    with Workbench(Job.load(path)) as bench:
        folder = bench.output("model")
        before = weights(folder)
        monkeypatch.setattr(promoting, "_judge", ends)
        with pytest.raises(EndsError):
            promoting.made_and_kept(bench, spoilt(bench, folder))
        assert weights(folder) != before
        monkeypatch.undo()
        promoting.made_and_kept(bench, lambda: folder)
        assert weights(folder) == before


def test_a_training_that_fails_leaves_what_was_there(path: Path) -> None:
    with Workbench(Job.load(path)) as bench:
        before = weights(bench.output("model"))

        def fails() -> Path:
            raise RuntimeError("no room")

        with pytest.raises(RuntimeError):
            promoting.made_and_kept(bench, fails)
        assert weights(bench.output("model")) == before
        assert not bench.output(promoting.BEFORE).exists()


def test_the_same_labels_again_change_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = weights(path.parent / "out" / "model")
    code, said = labelwright(monkeypatch, capsys, "distil", path)
    assert code == 0, said
    assert weights(path.parent / "out" / "model") == before
    assert not (path.parent / "out" / "model-refused").exists()


def test_what_was_refused_is_not_made_again_from_the_same_labels(path: Path) -> None:
    with Workbench(Job.load(path)) as bench:
        folder = bench.output("model")
        folder.rename(bench.output("model-refused"))
        said: list[str] = []
        bench.watch.note = said.append  # type: ignore[method-assign]
        shutil.copytree(bench.output("model-refused"), folder)
        (folder / "labelwright.json").write_text("{}")  # of other labels
        for _ in range(2):
            promoting.made_and_kept(bench, lambda: delivery.distil_model(bench))
        assert sum("model-refused was made from these labels already" in note for note in said) == 2
