"""Bad input: one message that names the place and the way out, exit code 2, no traceback, nothing lost or sent."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.scripted import Faults, ScriptedServer
from tests.whole.jobs import labelwright, settings, truth, write_job

Serve = Callable[..., ScriptedServer]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    return lambda *words: labelwright(monkeypatch, capsys, *words)


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


Run = Callable[..., tuple[int, str]]
DEAD = "http://127.0.0.1:9/v1"


def test_a_misspelt_key_names_its_line_and_the_nearest_key(tmp_path: Path, run: Run) -> None:
    path = write_job(tmp_path, oracle__base_url=DEAD)
    path.write_text(path.read_text().replace("threshold:", "treshold:"))
    code, said = run("run", path)
    line = path.read_text().splitlines().index("  treshold: 0.7") + 1
    assert code == 2
    assert f"job.yaml:{line}: unknown key `people.treshold`; did you mean `threshold`?" in said


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"selection__strategy": "margn"}, ("strategy", "unknown strategy 'margn'; did you mean 'margin'?")),
        (
            {"selection__strategy": "badge", "selection__options": {"candidates": 0}},
            ("candidates", "`selection.options.candidates`"),
        ),
        ({"student__kind": "haed"}, ("kind: haed", "unknown kind 'haed'")),
        ({"task__kind": "classifcation"}, ("kind: classifcation", "did you mean 'classification'?")),
        ({"task__guidelines": "gone.md"}, ("guidelines", "cannot read gone.md")),
    ],
)
def test_a_setting_that_only_its_part_understands_is_told_with_its_line(
    tmp_path: Path, run: Run, serve_gold: Serve, wrong: dict[str, object], told: tuple[str, str]
) -> None:
    key, sentence = told
    server = serve_gold(dict(truth()))
    path = write_job(tmp_path, oracle__base_url=server.url, **wrong)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), start=1) if key in text)
    for command in ("run", "check"):
        code, said = run(command, path)
        assert code == 2
        assert f"job.yaml:{line}: `" in said
        assert sentence in said
    assert not server.asked


def test_a_knowledge_graph_that_nothing_would_use_is_refused(tmp_path: Path, run: Run, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    (tmp_path / "entities.txt").write_text("apple\nhammer\n")
    path = write_job(tmp_path, oracle__base_url=server.url, selection__knowledge="entities.txt")
    code, said = run("run", path)
    assert code == 2
    assert "`selection.knowledge`: strategy adaptive does not use it; set `strategy: knowledge`" in said
    assert not server.asked


def test_a_strategy_of_ones_own_beside_the_job_file_that_breaks_is_told_before_anything_is_spent(
    tmp_path: Path, run: Run, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve_gold(dict(truth()))
    source = (
        "class Mine:\n    def score(self, state):\n        return state.nothing\n    def pick(self, s, n, rng): ...\n"
    )
    (tmp_path / "beside_the_job.py").write_text(source)
    path = write_job(tmp_path, oracle__base_url=server.url, selection__strategy="beside_the_job:Mine")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    line = path.read_text().splitlines().index("  strategy: beside_the_job:Mine") + 1
    for command in ("check", "run"):
        code, said = run(command, path)
        assert code == 2
        assert f"job.yaml:{line}: `selection.strategy`: Mine fails on 16 made-up texts" in said
        assert "(beside_the_job.py:3)" in said
    assert not server.asked


def test_a_job_without_a_random_slice_is_told_what_it_gives_up(tmp_path: Path, run: Run, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    path = write_job(
        tmp_path, oracle__base_url=server.url, selection__random_share=0, stop__max_rounds=1, distil__enabled=False
    )
    assert "choosing cannot be compared with chance" in run("check", path)[1]
    code, said = run("run", path)
    assert code == 0
    assert "choosing cannot be compared with chance" in said


def test_a_missing_column_names_those_that_are_there(tmp_path: Path, run: Run) -> None:
    code, said = run("run", write_job(tmp_path, oracle__base_url=DEAD, data__text="txt"))
    assert code == 2
    assert "pool.csv" in said
    assert "txt" in said
    assert "text" in said


def test_an_unknown_label_in_the_seed_names_row_and_nearest_label(tmp_path: Path, run: Run) -> None:
    path = write_job(tmp_path, oracle__base_url=DEAD)
    (tmp_path / "seed.csv").write_text("text,label\nan apple,fruit\na hammer,toll\n")
    code, said = run("run", path)
    assert code == 2
    assert "seed.csv" in said
    assert "3" in said
    assert "unknown label 'toll'; did you mean 'tool'?" in said


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, run: Run) -> None:
    path = write_job(tmp_path, oracle__base_url=DEAD)
    (tmp_path / "pool.csv").write_text("")
    code, said = run("run", path)
    assert code == 2
    assert "pool.csv" in said
    assert "empty" in said


def test_a_wrong_key_is_told_and_not_shown(
    tmp_path: Path, run: Run, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve_gold(dict(truth()), faults=Faults(refuses_key=True))
    monkeypatch.setenv("TOY_KEY", "sk-not-the-right-one")
    path = write_job(tmp_path, oracle__base_url=server.url, oracle__api_key_env="TOY_KEY")
    code, said = run("run", path)
    assert code == 2
    assert "refused the key" in said
    assert "api_key_env" in said
    assert "sk-not" not in said


def test_a_key_that_is_not_set_names_the_variable(tmp_path: Path, run: Run) -> None:
    code, said = run("run", write_job(tmp_path, oracle__base_url=DEAD, oracle__api_key_env="NO_SUCH_KEY"))
    assert code == 2
    assert "NO_SUCH_KEY" in said


def test_an_endpoint_that_is_down_is_named(tmp_path: Path, run: Run) -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    code, said = run("run", write_job(tmp_path, oracle__base_url=url))
    assert code == 2
    assert url in said
    assert "start the server" in said


def test_a_model_without_a_price_is_refused(tmp_path: Path, run: Run, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    code, said = run("run", write_job(tmp_path, oracle__base_url=server.url, oracle__price=None))
    assert code == 2
    assert "price" in said
    assert not server.asked


def test_a_budget_of_nothing_is_refused(tmp_path: Path, run: Run) -> None:
    code, said = run("run", write_job(tmp_path, oracle__base_url=DEAD, budget__dollars=0))
    assert code == 2
    assert "`budget.dollars`" in said


def test_a_question_that_the_tape_lacks_is_told_with_the_way_out(tmp_path: Path, run: Run, serve_gold: Serve) -> None:
    server = serve_gold(dict(truth()))
    path = write_job(tmp_path, oracle__base_url=server.url)
    assert run("record", path, "--output", tmp_path / "tape.gz", "--limit", 30)[0] == 0
    asked = len(server.asked)
    write_job(tmp_path, oracle__tape="tape.gz", output="again")
    code, said = run("run", path)
    assert code == 2
    assert "tape.gz" in said
    assert "no recorded answer" in said
    assert "labelwright record" in said
    assert len(server.asked) == asked


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, said = run("run", write_job(tmp_path, oracle__base_url=DEAD, output="file/out"))
    assert code == 2
    assert "file/out" in said


def test_every_problem_of_the_job_file_is_told_at_once(tmp_path: Path, run: Run) -> None:
    changes = {"budget__dollars": -1, "people__audit": 3, "seeed": 1}
    code, said = run("check", write_job(tmp_path, oracle__base_url=DEAD, **changes))
    assert code == 2
    for key in ("budget.dollars", "people.audit", "seeed"):
        assert key in said


def test_an_unknown_command_or_option_is_a_message(run: Run) -> None:
    assert run("rnu")[0] == 2
    assert run("run", "--fast", "job.yaml")[0] == 2
    assert run("run", "nowhere.yaml")[0] == 2


def test_settings_are_a_fresh_mapping_each_time() -> None:
    settings(budget__dollars=7)
    assert settings()["budget"]["dollars"] == 1


def test_a_key_that_no_header_can_carry_is_told_before_anything_is_sent_and_not_shown(
    tmp_path: Path, run: Run, serve_gold: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve_gold(dict(truth()))
    monkeypatch.setenv("TOY_KEY", "clé-secrète")
    code, said = run("check", write_job(tmp_path, oracle__base_url=server.url, oracle__api_key_env="TOY_KEY"))
    assert code == 2
    assert "copy it once more" in said
    assert "secr" not in said.replace("secrets", "")
    assert not server.asked
