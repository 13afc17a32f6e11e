"""A model or labels on the hub: there byte for byte, private, and one clear message where they cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from agent import delivery
from agent.job import Job
from agent.loop import run
from tests.servers.hub import Hub, Repository
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, truth, write_job

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own
OWN = {"README.md", "config.json", "labelwright.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A hub on this machine, as HF_ENDPOINT and HF_TOKEN would name it to a new process."""
    with Hub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", found.token)
        yield found
        close_session()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Files such as `distil` and `onnx` leave in a folder, and what else may lie there."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in (*OWN, "model.onnx"):
        (folder / name).write_bytes(f"of {name}\n".encode() * 300 + (b"" if name.endswith(".md") else b"\0\xff"))
    for name in ("labelwright.vectors", "notes.txt", ".README.md.partial", "texts.csv"):
        (folder / name).write_text("nobody's business")
    return folder


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Exported labels of two people and a machine, and a file of an export before that one."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "labels"
    (folder / "datasets").mkdir(parents=True)
    rows = [
        {"text": "a", "label": "x", "source": "person", "by": "ada", "route": "person"},
        {"text": "b", "label": "y", "source": "oracle", "by": "local/m", "route": "accepted in bulk by ben"},
        {"text": "c", "label": "y", "source": "person", "by": "reviewer", "route": "person"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "labels.parquet")
    (folder / "README.md").write_text("---\nlicense: unknown\n---\n\n- files: labels.parquet, datasets/\n")
    (folder / "datasets" / "data.arrow").write_bytes(b"rows")
    (folder / "labels.csv").write_text("old")
    return folder


def test_a_model_arrives_byte_for_byte_and_private(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics", "--json")
    assert code == 0, said
    there = hub.repositories["model/ada/topics"]
    assert there.private
    assert set(there.files) == OWN | {"model.onnx"}
    assert there.files == {name: (model / name).read_bytes() for name in there.files}
    assert there.commits == 1
    found = json.loads(said[said.index("{") :])
    assert (found["url"], found["private"], found["files"]) == (f"{hub.url}/ada/topics", True, len(there.files))
    assert hub.token not in said


def test_pushed_again_it_holds_what_the_folder_does(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    there = hub.repositories["model/ada/topics"]
    there.files["figures.png"] = b"somebody else's"
    (model / "model.onnx").unlink()
    (model / "README.md").write_text("made again")
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 0, said
    assert there.files["README.md"] == b"made again"
    assert "model.onnx" not in there.files
    assert there.files["figures.png"] == b"somebody else's"
    assert "only those see it who may" in said


def test_public_is_public_only_where_it_is_asked_for(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["model/ada/open"] = Repository(private=False)
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/open")
    assert code == 2
    assert "everyone sees it, so nothing was sent; add --public" in said
    assert not hub.repositories["model/ada/open"].files
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/new", "--public")
    assert code == 0, said
    assert not hub.repositories["model/ada/new"].private
    assert "everyone sees it" in said


def test_labels_arrive_as_a_data_set_without_what_the_card_does_not_name(
    hub: Hub, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = labelwright(monkeypatch, capsys, "push", labels, "ada/labels")
    assert code == 0, said
    there = hub.repositories["dataset/ada/labels"]
    assert there.private
    assert set(there.files) == {"README.md", "labels.parquet", "datasets/data.arrow"}
    assert there.files == {name: (labels / name).read_bytes() for name in there.files}
    assert f"{hub.url}/datasets/ada/labels: 3 files" in said


def test_names_of_people_are_not_made_public(
    hub: Hub, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = labelwright(monkeypatch, capsys, "push", labels, "ada/labels", "--public")
    assert code == 2
    assert "names those who labelled (ada, ben)" in said
    assert "--hide-people" in said
    assert not hub.repositories["dataset/ada/labels"].files


@pytest.mark.parametrize("name", ["topics", "a/b/c", "ada/to pics", "/ada", "ada/..", ""])
def test_a_malformed_name_is_told_before_anything_is_sent(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, said = labelwright(monkeypatch, capsys, "push", model, name)
    assert code == 2
    assert "a name on the hub is OWNER/NAME" in said
    assert hub.asked == []


def test_without_a_token_it_says_where_one_is_made(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 2
    assert "there is no token" in said
    assert "HF_TOKEN" in said
    assert "hf auth login" in said


def test_a_token_that_is_refused_is_not_shown(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 2
    assert "does not take the token (401)" in said
    assert "hf_wrong" not in said


def test_an_owner_that_the_token_may_not_write_for_is_told(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = labelwright(monkeypatch, capsys, "push", model, "ben/topics")
    assert code == 2
    assert "ben/topics: the token may not write there (403: " in said
    assert "rights to create a repo under ben" in said


@pytest.mark.parametrize("part", ["/commit/", "/lfs/objects/batch"])
def test_a_hub_that_fails_midway_is_told_and_nothing_is_half_there(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    hub.failing[part] = 413
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 2
    assert f"the hub at {hub.url} refused (413: it is not the day for that)" in said
    assert not hub.repositories["model/ada/topics"].files


def test_a_card_that_the_hub_does_not_take_is_told_with_its_reason(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.failing["/validate-yaml"] = 400
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 2
    assert "refused (400: Invalid metadata in README.md. - it is not the day for that)" in said


def test_without_a_network_or_offline_it_says_so(
    hub: Hub, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 2
    assert "nothing was put on the hub at http://127.0.0.1:9" in said
    assert "HF_ENDPOINT" in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, said = labelwright(monkeypatch, capsys, "push", model, "ada/topics")
    assert code == 2
    assert "HF_HUB_OFFLINE is set" in said


def test_a_folder_that_is_neither_is_refused(
    hub: Hub, model: Path, labels: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (model / "labelwright.json").unlink()
    for folder in (model, labels.parent, labels.parent / "nowhere"):
        code, said = labelwright(monkeypatch, capsys, "push", folder, "ada/topics")
        assert code == 2
        assert "neither a model that `labelwright distil` made" in said
    assert hub.asked == []


def test_what_a_job_makes_is_pushed_where_that_is_said(  # noqa: PLR0917 - fixtures
    hub: Hub,
    tmp_path: Path,
    model: Path,
    serve_gold: Callable[..., ScriptedServer],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = serve_gold(dict(truth(20)))
    without = {"student": "none", "selection": {}, "distil": {}, "stop": {}, "data__gold": None, "data__seed": None}
    path = write_job(tmp_path, pool=20, oracle__base_url=server.url, **without)
    run(Job.load(path))
    words = ("--formats", "parquet", "--hide-people", "--push", "ada/labels", "--public", "--json")
    code, said = labelwright(monkeypatch, capsys, "export", path, *words)
    assert code == 0, said
    there = hub.repositories["dataset/ada/labels"]
    assert set(there.files) == {"README.md", "labels.parquet"}  # the run exported everything else too
    assert json.loads(said[said.index("{") :])["hub"]["url"] == f"{hub.url}/datasets/ada/labels"
    card = there.files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["dataset_info"]["splits"][0]["num_examples"] == 20
    assert str(tmp_path) not in card
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--push", "ben/topics")
    assert code == 2
    assert "the token may not write there (403" in said, "and not that there is nothing to distil"
    monkeypatch.setattr(delivery, "distil_again", lambda bench, *, promote, start: model)
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--push", "ada/topics")
    assert code == 0, said
    assert set(hub.repositories["model/ada/topics"].files) == OWN | {"model.onnx"}
    assert f"hub: {hub.url}/ada/topics: 7 files" in said


def test_nothing_leaves_without_being_asked_for(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_job(tmp_path, oracle__base_url="http://127.0.0.1:9/v1")
    code, said = labelwright(monkeypatch, capsys, "distil", path, "--public")
    assert code == 2
    assert "--public goes with --push OWNER/NAME" in said
    assert hub.asked == []
