"""`data.redact` in a whole job: what leaves the machine, what does not, and what people are told of it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from presidio_analyzer import PatternRecognizer
from rich.console import Console

from agent.endpoints import questions_of
from agent.errors import JobFileError
from agent.job import Job
from agent.loop import Outcome, run
from agent.report import final_table
from agent.review.desk import Desk
from agent.review.exchange import export_queue
from agent.store import Store
from agent.tasks import build
from agent.workbench import Workbench
from tests.review.browsers import Reviewer, Served, chromium
from tests.review.scenes import Scene, Waiting, scene
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, sentences, settings, write_job, write_rows

Serve = Callable[..., ScriptedServer]
SECRETS = ("ada@example.com", "020 7946 0958", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00")
POISON = "quicksand"
EVERYTHING = {
    "distil__enabled": False,
    "selection__cold_start": 24,
    "stop__max_rounds": 1,
    "people__threshold": 1.0,
    "student__unlabelled": "off",
    "data__gold": None,
}


def job_file(folder: Path, server: ScriptedServer, **changes: object) -> Path:
    """A job whose every other text and every worked example says something of a person; one text is `POISON`."""
    path = write_job(folder, pool=24, oracle__base_url=server.url, **(EVERYTHING | changes))
    rows = [
        (f"{text} Write to {SECRETS[i // 2 % 4]}." if i % 2 else text, label)
        for i, (text, label) in enumerate(sentences(24))
    ]
    write_rows(folder / "pool.csv", [*rows[1:], (f"{rows[0][0]} {POISON}", rows[0][1])], labelled=False)
    # an address right where an example is cut: half of it would not be known for one
    long = [
        (f"{'so ' * 96}{i} ada@example.com {'so ' * 93} ada@example.com and more", n) for i, (_, n) in enumerate(rows)
    ]
    write_rows(
        folder / "seed.csv", [next(r for r in long if r[1] == n) for n in ("fruit", "tool", "animal")], labelled=True
    )
    return path


@pytest.fixture
def sent() -> list[str]:
    return []


@pytest.fixture
def server(serve_gold: Serve, sent: list[str]) -> ScriptedServer:
    """A scripted server; everything that it is told is in `sent`."""
    made = serve_gold({"a": "fruit", "b": "tool", "c": "animal"})
    handle = made._service.handle

    def overheard(request: object, send: object) -> None:
        sent.append(request.body.decode("utf-8", "replace"))  # type: ignore[attr-defined]
        handle(request, send)  # type: ignore[arg-type]

    made._service.handle = overheard  # type: ignore[method-assign, assignment]
    return made


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presidio fails on one text."""
    analyze = PatternRecognizer.analyze

    def failing(self: PatternRecognizer, text: str, *more: object, **named: object) -> object:
        if POISON in text:
            raise RuntimeError("a bug")
        return analyze(self, text, *more, **named)

    monkeypatch.setattr(PatternRecognizer, "analyze", failing)


def leaked(sent: list[str]) -> list[str]:
    return [word for body in sent for word in ("ada@", "7946", "4111", "DE89", "0532", POISON) if word in body]


WAYS = {
    "live": {},
    "batch": {"mode": "batch", "oracle__batch": {"poll_s": 0.02}},
    "nearest": {"oracle__format": {"examples": "nearest", "nearest": 2}},
}


@pytest.mark.parametrize("way", WAYS)
def test_nothing_personal_leaves_the_machine(
    tmp_path: Path, server: ScriptedServer, sent: list[str], breaks: None, way: str
) -> None:
    job = Job.load(job_file(tmp_path, server, data__redact=True, **WAYS[way]))
    outcome = run(job)
    assert leaked(sent) == []
    assert all(placeholder in "".join(sent) for placeholder in ("[EMAIL]", "[PHONE]", "[CARD]", "[IBAN]"))
    _check_what_people_are_told(job, outcome)


def _check_what_people_are_told(job: Job, outcome: Outcome) -> None:
    with Store.open(job.store_url) as store:
        rows = {row.text: row for row in store.queue(job.name)}
        desk = Desk(store, job, build(job.task), "ada")
        cards = {card["text"]: card for card in desk.items(100, again=True)}
        count = export_queue(store, job, desk.task, job.output_folder / "queue.csv")
    assert outcome.labels == 23, "the run went on without the text that could not be redacted"
    poisoned = next(text for text in rows if POISON in text)
    assert rows[poisoned].reason == "failed: it could not be redacted (RuntimeError), and so it was not sent"
    assert rows[poisoned].suggestion is None
    assert cards[poisoned]["unseen"].startswith("No oracle was shown this text: it could not be redacted")

    card = next(card for text, card in cards.items() if SECRETS[0] in text)
    assert card["unseen"] == "The oracle did not see: 1 e-mail address."
    assert [card["text"][a:b] for a, b, _ in card["places"]] == [SECRETS[0]]
    clean = next(card for text, card in cards.items() if "Write to" not in text and POISON not in text)
    assert (clean["unseen"], clean["places"]) == ("", [])
    with (job.output_folder / "queue.csv").open(encoding="utf-8-sig", newline="") as file:
        reasons = [row["reason"] for row in csv.DictReader(file)]
    assert len(reasons) == count
    assert sum("The oracle did not see: 1 e-mail address." in reason for reason in reasons) == 3

    assert outcome.delivered is not None
    found = outcome.delivered.findings
    assert found.redacted == {"texts": 12, "email": 3, "phone": 3, "card": 3, "iban": 3}
    console = Console(width=200)
    with console.capture() as shown:
        console.print(final_table(found))
    assert "12 texts" in shown.get()
    assert "3 with e-mail addresses" in shown.get()


def test_without_presidio_a_job_that_redacts_does_not_start(
    tmp_path: Path, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = job_file(tmp_path, server, data__redact=["email"])
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    monkeypatch.delitem(sys.modules, "agent.redaction.recognizers", raising=False)
    for command, *more in (["check"], ["estimate"], ["record", "--output", tmp_path / "tape"], ["run"]):
        code, said = labelwright(monkeypatch, capsys, command, path, *more)
        assert code == 2, command
        assert "pip install 'labelwright[redaction]'" in said, command
    assert server.asked == []


def test_the_review_page_marks_what_no_oracle_saw(tmp_path: Path) -> None:
    text = "\U0001f600 <i>Mail</i> \u202eada@example.com\u202e & bob@example.com"
    made = scene(tmp_path, [Waiting(text, "sport"), Waiting("Nothing in it", "sport")])
    data = made.job.data.model_copy(update={"redact": ("email",)})
    with chromium() as browser:
        served = Served(Scene(made.store, made.job.model_copy(update={"data": data}), made.task))
        ada = Reviewer(browser.new_page(), served)
        ada.sees("#unseen", "The oracle did not see: 2 e-mail addresses.")
        expect(ada.page.locator("#text mark")).to_have_text(["ada@example.com", "bob@example.com"])
        assert ada.page.locator("#text mark").first.get_attribute("title") == "the oracle saw [EMAIL 1] here"
        ada.sees("#text", "<i>Mail</i>")
        ada.press("Enter")
        ada.sees("#text", "Nothing in it")
        expect(ada.page.locator("#unseen")).to_be_hidden()
        assert ada.errors == []
        served.stop()


def test_whoever_reviews_need_not_have_presidio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene(tmp_path, [Waiting("Mail ada@example.com", "sport")])
    data = made.job.data.model_copy(update={"redact": ("email",)})
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    monkeypatch.delitem(sys.modules, "agent.redaction.recognizers", raising=False)
    card = Desk(made.store, made.job.model_copy(update={"data": data}), made.task, "ada").items(1, again=False)[0]
    assert card["text"] == "Mail ada@example.com"
    assert card["unseen"].startswith("What was hidden from the oracle cannot be shown here: `data.redact` needs")


def test_a_job_that_hides_nothing_asks_what_it_always_asked(tmp_path: Path, server: ScriptedServer) -> None:
    with Workbench(Job.load(job_file(tmp_path, server))) as bench:
        questions = questions_of(bench, bench.job.oracle[0], "choice")
        asked = [questions(text) for text in bench.pool.texts()]
        assert bench.redactor is None
    words = "".join(message.content for question in asked for message in question.messages)
    assert all(secret in words for secret in SECRETS)
    assert "[EMAIL" not in words


@pytest.mark.parametrize("given", [["mail"], "email", [True], 1])
def test_a_kind_that_is_not_known_is_told_with_its_line(tmp_path: Path, given: object) -> None:
    path = write_job(tmp_path, oracle__base_url="http://127.0.0.1:1/v1", data__redact=given)
    with pytest.raises(JobFileError, match=r"job.yaml:\d+: `data.redact.*email.*name"):
        Job.load(path)


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (True, ("email", "phone", "card", "iban")),
        (False, ()),
        (None, ()),
        (["name", "card", "name"], ("name", "card")),
    ],
)
def test_true_is_every_kind_that_needs_no_model(given: object, kinds: tuple[str, ...]) -> None:
    made = Job.of(settings(oracle__base_url="http://127.0.0.1:1/v1", data__redact=given))
    assert made.data.redact == kinds


def test_a_model_for_names_that_nobody_looks_for_is_refused() -> None:
    with pytest.raises(JobFileError, match="put `name` into `redact`"):
        Job.of(settings(oracle__base_url="http://127.0.0.1:1/v1", data__redact_model="en_core_web_sm"))
