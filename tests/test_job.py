"""The job file: everything wrong with it at once, each with its line and the way out, and no secret anywhere."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.errors import JobFileError
from agent.job import Job, OracleSettings, TaskSettings, without_secrets

GOOD = """\
task:
  kind: classification
  labels:
    refund: wants money back
    exchange: wants another size
data:
  pool: pool.csv
oracle:
  base_url: http://127.0.0.1:8000/v1
  model: m
  price: {input: 0.05, output: 0.10}
budget: {dollars: 5}
"""
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "job.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def problems(path: Path) -> list[tuple[int, str]]:
    with pytest.raises(JobFileError) as caught:
        Job.load(path)
    shown = str(caught.value).splitlines()
    assert len(shown) == len(caught.value.problems), "one line a problem"
    assert all(line.startswith(f"{path}") for line in shown)
    return list(caught.value.problems)


# a good file ---------------------------------------------------------------------


def test_a_small_job_file_is_enough(write: Write) -> None:
    job = Job.load(write(GOOD))
    assert job.task.labels == {"refund": "wants money back", "exchange": "wants another size"}
    assert job.oracle[0].model == "m"
    assert job.student.encoder == "builtin:minilm"


def test_labels_may_be_a_plain_list_or_have_no_description(write: Write) -> None:
    described = "  labels:\n    refund: wants money back\n    exchange: wants another size\n"
    listed = Job.load(write(GOOD.replace(described, "  labels: [refund, 7]\n")))
    bare = Job.load(write(GOOD.replace(described, "  labels:\n    refund:\n    exchange:\n")))
    assert listed.task.labels == {"refund": "", "7": ""}
    assert bare.task.labels == {"refund": "", "exchange": ""}


def test_off_without_quotes_is_off_though_yaml_reads_it_as_false(write: Write) -> None:
    assert Job.load(write(GOOD + "student: {unlabelled: off}\n")).student.unlabelled == "off"


def test_numbers_that_no_library_takes_are_told_with_their_line(write: Write) -> None:
    found = problems(write(GOOD + f"seed: {10**23}\nstudent:\n  refresh: {{threads: {2**40}}}\n"))
    assert [line for line, _ in found] == [13, 15]


def test_one_oracle_may_be_written_without_a_list(write: Write) -> None:
    assert [o.name for o in Job.load(write(GOOD)).oracle] == ["oracle"]


def test_paths_are_relative_to_the_job_file_and_not_to_where_one_stands(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    job = Job.load(write(GOOD))
    assert job.path(job.data.pool) == tmp_path / "pool.csv"
    assert job.output_folder == tmp_path / "out"
    assert job.store_url == f"sqlite:///{tmp_path}/out/labelwright.db"
    assert job.path("/elsewhere/x") == Path("/elsewhere/x")
    assert job.path("~/x") == Path.home() / "x"


def test_guidelines_are_read_from_a_file_where_they_name_one(write: Write, tmp_path: Path) -> None:
    (tmp_path / "guide.md").write_text("Mind the returns.\n", encoding="utf-8")
    named = Job.load(write(GOOD.replace("data:", "  guidelines: guide.md\ndata:")))
    written = Job.load(write(GOOD.replace("data:", "  guidelines: Mind the returns, see guide.md for more\ndata:")))
    assert named.guidelines == "Mind the returns."
    assert (
        "see guide.md for more"
        in Job.load(write(GOOD.replace("data:", '  guidelines: "a\\nsee guide.md for more"\ndata:'))).guidelines
    )
    assert written.guidelines.startswith("Mind the returns")


def test_guidelines_in_a_file_that_is_not_there_are_named(write: Write) -> None:
    job = Job.load(write(GOOD.replace("data:", "  guidelines: gone.md\ndata:")))
    with pytest.raises(JobFileError, match=r"job\.yaml:\d+: `task\.guidelines`: cannot read gone\.md: No such"):
        _ = job.guidelines


# what is wrong with a file ---------------------------------------------------------


def test_every_problem_is_told_at_once_with_its_line(write: Write) -> None:
    text = GOOD.replace("budget: {dollars: 5}", "budget: {dollars: 0}\nsede: 3\n")
    text = (
        text.replace("  model: m\n", "")
        .replace("  pool: pool.csv", "  pol: pool.csv")
        .replace("kind: classification", "kind: [1]")
    )
    found = problems(write(text))
    assert [line for line, _ in found] == sorted(line for line, _ in found)
    said = {text: line for line, text in found}
    assert said["`budget.dollars`: a number above 0 is needed, not 0"] == 11
    assert said["unknown key `sede`; did you mean `seed`?"] == 12
    assert said["unknown key `data.pol`; did you mean `pool`?"] == 7
    assert said["`data.pool` is missing"] == 6
    assert said["`oracle.model` is missing"] == 8
    assert any(s.startswith("`task.kind`") and line == 2 for s, line in said.items())
    assert len(found) == 6


@pytest.mark.parametrize(
    ("good", "bad", "line", "said"),
    [
        ("  base_url", "  bas_url", 9, "unknown key `oracle.bas_url`; did you mean `base_url`?"),
        ("price: {input", "price: {inptu", 11, "unknown key `oracle.price.inptu`; did you mean `input`?"),
        ("budget: {", "budget: {hours: 1, ", 12, "unknown key `budget.hours`; known here: dollars, minutes"),
        ("output: 0.10", "outputs: 0.10", 11, "unknown key `oracle.price.outputs`; did you mean `output`?"),
        ("model: m", "model: m\n  tape: t.gz", 8, "exactly one of `base_url`"),
        ("  base_url: http://127.0.0.1:8000/v1\n", "", 8, "exactly one of `base_url`"),
        ("price: {input: 0.05, output: 0.10}", "price: {input: 0.05}", 11, "a price needs `input` and `output`"),
        ("price: {input: 0.05, output: 0.10}", "price: {input: -1, output: 0.10}", 11, "from 0 is needed, not -1"),
        ("output: 0.10}", "output: 0.10, gpu_hour: 2}", 11, "not both"),
        ("{dollars: 5}", "{dollars: lots}", 12, "`budget.dollars`: a number is needed, not 'lots'"),
        ("{dollars: 5}", "{dollars: -1}", 12, "a number above 0 is needed, not -1"),
        ("    exchange: wants another size\n", "", 1, "needs at least two labels, found 1"),
        ("    exchange: wants", '    " exchange": wants', 1, "padded with blanks"),
        ("pool: pool.csv", "pool: pool.csv\n  over_long: shorten", 8, "`data.over_long`"),
        ("model: m", "model: m\n  max_concurrency: 0", 11, "`oracle.max_concurrency`"),
        ("model: m", "model: m\n  api_key: x\n  api_key_env: Y", 8, "not both"),
        ("budget:", "people: {threshold: 2}\nbudget:", 12, "a number up to 1 is needed, not 2"),
        ("budget:", "selection: {batch: none}\nbudget:", 12, "a whole number or 'auto' is needed, not 'none'"),
        ("budget:", "selection: {batch: 0}\nbudget:", 12, "`selection.batch`: a number from 1 or 'auto' is needed"),
        ("budget:", "selection: badge\nbudget:", 12, "`selection`: a mapping with some of strategy, batch,"),
        ("budget:", "student: {refresh: flase}\nbudget:", 12, "true, false or a mapping with some of enabled, fi"),
        ("budget:", "student: {unlabelled: selftraining}\nbudget:", 12, "did you mean 'self_training'?"),
        ("budget:", "name: my job\nbudget:", 12, "`name`"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(write: Write, good: str, bad: str, line: int, said: str) -> None:
    assert good in GOOD
    found = problems(write(GOOD.replace(good, bad, 1)))
    assert any(said in text and at == line for at, text in found), found


def test_a_key_written_twice_is_an_error_and_not_the_last_one(write: Write) -> None:
    found = problems(write(GOOD + "budget: {dollars: 500}\n"))
    assert found == [(13, "`budget` is written twice (first on line 12)")]
    twice = GOOD.replace("    exchange: wants another size", "    refund: wants another size")
    assert problems(write(twice)) == [(5, "`task.labels.refund` is written twice (first on line 4)")]


def test_a_label_named_twice_in_a_list_is_an_error(write: Write) -> None:
    described = "  labels:\n    refund: wants money back\n    exchange: wants another size\n"
    found = problems(write(GOOD.replace(described, "  labels: [refund, exchange, refund]\n")))
    assert found == [(3, "`task.labels`: label named twice: refund")]


def test_two_oracles_of_one_name_are_an_error(write: Write) -> None:
    one = "  - {name: a, base_url: 'http://127.0.0.1/v1', model: m, price: {input: 1, output: 1}}\n"
    text = GOOD[: GOOD.index("oracle:")] + "oracle:\n" + one + one + "budget: {dollars: 5}\n"
    assert [s for _, s in problems(write(text))] == ["`oracle`: two oracles share a name: give each its own `name`"]


def test_a_mistake_in_the_second_oracle_has_its_own_line(write: Write) -> None:
    one = "  - {name: a, base_url: 'http://127.0.0.1/v1', model: m, price: {input: 1, output: 1}}\n"
    text = (
        GOOD[: GOOD.index("oracle:")] + "oracle:\n" + one + one.replace("model", "modle") + "budget: {dollars: 5}\n"
    )
    found = problems(write(text))
    assert (10, "unknown key `oracle[1].modle`; did you mean `model`?") in found
    assert (10, "`oracle[1].model` is missing") in found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a job file is a mapping"),
        ("- a\n- b\n", "a job file is a mapping"),
        ("just words", "a job file is a mapping"),
        ("task: [\n", "not valid YAML"),
        ("task: {a: 1\nb: 2", "not valid YAML"),
        ("\ttask: 1", "not valid YAML"),
        ("task: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: &x 1\n---\nb: 2\n", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_job_says_so(write: Write, text: str, said: str) -> None:
    found = problems(write(text))
    assert said in found[0][1]


def test_a_file_that_is_not_there_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"no such file; `labelwright init`"):
        Job.load(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name: caf\xe9\n"])
def test_a_file_that_is_not_utf8_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    assert "cannot be read" in problems(tmp_path / "job.yaml")[0][1]


def test_a_folder_is_no_job_file(tmp_path: Path) -> None:
    assert "cannot be read" in problems(tmp_path)[0][1]


# the environment, and secrets --------------------------------------------------------

SECRET = "kX9-very-secret-0042"


def test_the_environment_fills_in_what_is_not_for_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "127.0.0.1:9000")
    job = Job.load(write(GOOD.replace("127.0.0.1:8000", "${PLACE}")))
    assert job.oracle[0].base_url == "http://127.0.0.1:9000/v1"


def test_a_variable_that_is_not_set_is_told_together_with_everything_else(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    found = problems(write(GOOD.replace("127.0.0.1:8000", "${NOT_SET_ANYWHERE}") + "sede: 1\n"))
    assert found == [
        (9, "`oracle.base_url`: environment variable NOT_SET_ANYWHERE is not set; export it first"),
        (13, "unknown key `sede`; did you mean `seed`?"),
    ]


def test_a_value_from_the_environment_is_not_expanded_again(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "${INNER}")
    monkeypatch.setenv("INNER", "never")
    job = Job.load(write(GOOD.replace("pool.csv", '"${OUTER}"')))
    assert job.data.pool == "${INNER}"


def secret_job(write: Write, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setenv("THE_KEY", SECRET)
    text = GOOD.replace("127.0.0.1:8000/v1", f"someone:{SECRET}@127.0.0.1:8000/v1?token={SECRET}")
    text = text.replace("  model: m", "  model: m\n  api_key: ${THE_KEY}")
    return Job.load(write(text + f"store: postgresql://someone:{SECRET}@127.0.0.1/db?password={SECRET}\n"))


def test_no_secret_is_in_what_is_kept_or_shown(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    job = secret_job(write, monkeypatch)
    assert job.oracle[0].key() == SECRET
    for shown in (
        json.dumps(job.settings()),
        job.fingerprint(),
        repr(job.oracle[0].api_key),
        str(job.oracle[0].api_key),
    ):
        assert SECRET not in shown
    assert job.settings()["oracle"][0]["base_url"] == "http://***@127.0.0.1:8000/v1?token=***"


def test_no_secret_is_in_the_repr_of_a_job(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    job = secret_job(write, monkeypatch)
    assert SECRET not in repr(job)
    assert SECRET not in str(job)
    assert SECRET not in repr(job.oracle)


def test_no_secret_is_in_an_error_about_the_line_that_holds_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    bad = "  model: m\n" + "".join(
        f"  {name}: ${{THE_KEY}}\n" for name in ("api_key", "api_kye", "max_concurrency", "answers")
    )
    found = problems(write(GOOD.replace("  model: m", bad)))
    assert len(found) == 3
    assert SECRET not in str(found)


def test_a_key_may_stay_in_the_environment_alone(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    job = Job.load(write(GOOD.replace("  model: m", "  model: m\n  api_key_env: THE_KEY")))
    assert job.oracle[0].key() == SECRET
    assert SECRET not in repr(job) + json.dumps(job.settings())
    monkeypatch.delenv("THE_KEY")
    assert job.oracle[0].key() is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, None),
        ("http://host:1/v1", "http://host:1/v1"),
        ("https://u:p@host/v1", "https://***@host/v1"),
        ("https://key@host/v1?a=1&b=2", "https://***@host/v1?a=***&b=***"),
        ("sqlite:////tmp/a b.db", "sqlite:////tmp/a b.db"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("postgresql://u:p@ss/w@host/db?sslmode=a&password=b", "postgresql://***@host/db?sslmode=***&password=***"),
        ("postgresql+psycopg://u:p@[::1]:5432/db", "postgresql+psycopg://***@[::1]:5432/db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str | None, shown: str | None) -> None:
    assert without_secrets(url) == shown


# the fingerprint ---------------------------------------------------------------------


def test_the_fingerprint_is_what_a_label_means_and_nothing_else(write: Write) -> None:
    base = Job.load(write(GOOD)).fingerprint()
    for same in ("{dollars: 5}", "{dollars: 50}"), ("model: m", "model: n"), ("budget:", "seed: 7\nbudget:"):
        assert Job.load(write(GOOD.replace(*same))).fingerprint() == base, same
    for other in ("wants money", "needs money"), ("pool.csv", "other.csv"), ("exchange:", "swap:"):
        assert Job.load(write(GOOD.replace(*other))).fingerprint() != base, other


def test_a_job_can_be_built_in_python(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "task": {"labels": ["a", "b"]},
        "data": {"pool": "pool.csv"},
        "oracle": {"tape": "t.gz", "model": "m", "price": {"input": 1, "output": 1}},
        "budget": {"dollars": "0.25"},
    }
    job = Job.of(settings, tmp_path)
    assert job.path("x") == tmp_path / "x"
    with pytest.raises(JobFileError, match=r"^job: `budget` is missing$"):
        Job.of({k: v for k, v in settings.items() if k != "budget"}, tmp_path)


def test_settings_cannot_be_changed_by_accident(write: Write) -> None:
    job = Job.load(write(GOOD))
    with pytest.raises(ValueError, match="frozen"):
        job.seed = 3
    assert pickle.loads(pickle.dumps(job)) == job


@pytest.mark.parametrize("labels", [[True, False], ["a", None], {1.1: "", "b": ""}])
def test_a_label_that_yaml_reads_as_something_else_has_to_be_quoted(labels: object) -> None:
    with pytest.raises(ValueError, match="write it in quotes"):
        TaskSettings(labels=labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["127.0.0.1:80/v1", "ftp://x/v1", "http://[::1/v1", "http://127.0.0.1:99999/v1", "a"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="`base_url` must be an address"):
        OracleSettings(base_url=url, model="m")


def test_the_line_end_behind_a_key_is_not_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", " sk-abc\r\n")
    assert OracleSettings(base_url="http://x/v1", model="m", api_key_env="TOY_KEY").key() == "sk-abc"


def test_a_label_that_no_text_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        TaskSettings(labels={"a\ud800": "", "b": ""})


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://ann:pa55@host/v1?key=abc&x=1", "https://***@host/v1?key=***&x=***"),
        ("https://host/bob@corp/v1", "https://host/bob@corp/v1"),
        ("postgresql://u:se?cret@h/db", "postgresql://***@h/db"),
        ("postgresql://u:se/cr@et@h/db?password=x", "postgresql://***@h/db?password=***"),
        ("sqlite:////a@b/c.db", "sqlite:////a@b/c.db"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_in_it(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


def test_a_key_in_a_command_is_not_kept() -> None:
    command = ["serve", "--api-key", "SECRET1", "--hf-token=SECRET2", "--model", "{model}"]
    job = Job.of({"task": {"labels": ["a", "b"]}, "data": {"pool": "p.csv"}, "budget": {"dollars": 1},
                  "oracle": {"model": "m", "price": {"gpu_hour": 1}, "run_batch": {"command": command}}})  # fmt: skip
    kept = job.settings()["oracle"][0]["run_batch"]["command"]
    assert kept == ["serve", "--api-key", "***", "--hf-token=***", "--model", "{model}"]
