"""Texts through whole jobs, on real translations and summaries: from choosing to a model of one's own.

The oracle is scripted from the references, with stated noise; the model that is taught is tiny, and learns nothing
that anybody would want.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from agent.agreeing import agreeing
from agent.distill import Writer, load_model
from agent.job import Job, TaskSettings
from agent.records import Label, Source
from agent.store import Store
from agent.tasks import Generation
from agent.workbench import Workbench
from tests.distill.making import make_encoder
from tests.distill.writers import make_writer
from tests.servers.model import Form, ScriptedModel, Token, chance, pieces
from tests.servers.scripted import ScriptedServer
from tests.whole.jobs import labelwright, shown_job

SHOWN = shown_job("generation")
TASK = Generation(TaskSettings(**SHOWN["task"]))
POOL, GOLD, NOISE = 60, 20, 0.2
Truth = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Translator(ScriptedModel):
    """Says the first reference; of a text in `errors` with its words backwards, and less sure of it. Asked again with
    a temperature it leaves the last word out."""

    def says(self, text: str, form: Form) -> tuple[str, list[Token]]:
        if text not in self.gold:
            return "Paris", [("Paris", -0.01, [])]
        words = str(self.gold[text]).split()
        content = " ".join(reversed(words) if self.is_wrong_about(text) else words)
        sure = math.log(self.sureness(text))
        return content, [(piece, sure, [(piece, sure)]) for piece in pieces(content)]


def drawn(shared_data: Path, name: str) -> tuple[Truth, Truth]:
    """Pool and gold: the shortest of some real texts with their references."""
    if name == "ntrex":
        rows = pq.read_table(shared_data / "ntrex" / "train.parquet").to_pylist()
        known: Truth = {r["source"]: (r["target"],) for r in rows if r["target_lang"] == "deu"}
    else:
        rows = pq.read_table(shared_data / "scitldr" / "dev.parquet").to_pylist()
        known = {r["text"]: tuple(dict.fromkeys(r["all_summaries"])) for r in rows if all(r["all_summaries"])}
    short = sorted(known, key=lambda text: (len(text), text))[: POOL + GOLD]
    order = np.random.default_rng(0).permutation(len(short)).tolist()
    texts = [short[i] for i in order]
    return {t: known[t] for t in texts[:POOL]}, {t: known[t] for t in texts[POOL:]}


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path.name


def job_of(folder: Path, pool: Truth, gold: Truth, server: ScriptedServer, **changes: Any) -> Job:
    texts = [w for text, said in pool.items() for w in (text, *said)]
    make_writer(folder / "models" / "small", "gpt2", texts=texts, room=1024)
    settings = SHOWN | {
        "data": {
            "pool": written(folder / "pool.jsonl", [{"id": f"t{k}", "text": t} for k, t in enumerate(pool)]),
            "gold": written(folder / "gold.jsonl", [{"text": t, "label": list(v)} for t, v in gold.items()]),
            "id": "id",
            "ask_gold": True,
        },
        "student": {"encoder": str(make_encoder(folder / "encoder"))},
        "oracle": SHOWN["oracle"] | {"base_url": server.url, "model": "scripted"},
        "selection": {"batch": 15, "cold_start": 15},
        "people": {"threshold": 0.6, "audit": 0.1},
        "budget": {"dollars": "0.5"},
        "stop": {"agreement": None, "max_labels": 45},
        "distil": {"model": "models/small", "epochs": 1},
    }
    (folder / "job.yaml").write_text(json.dumps(settings | changes), encoding="utf-8")
    return Job.load(folder / "job.yaml")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    return partial(labelwright, monkeypatch, capsys)


@pytest.fixture
def translator() -> Iterator[Callable[[Mapping[str, tuple[str, ...]]], ScriptedServer]]:
    started: list[ScriptedServer] = []

    def start(known: Mapping[str, tuple[str, ...]]) -> ScriptedServer:
        model = Translator({t.strip(): said[0] for t, said in known.items()}, NOISE)
        started.append(ScriptedServer({}, model=model).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_the_job_of_the_page_is_one(tmp_path: Path) -> None:
    job = Job.of(SHOWN, tmp_path)
    assert (job.task.kind, job.task.max_answer_tokens, job.distil.model) == ("generation", 128, "models/small")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ntrex", "scitldr"])
def test_texts_go_through_a_whole_job(
    tmp_path: Path,
    shared_data: Path,
    name: str,
    translator: Callable[..., ScriptedServer],
    command: Callable[..., tuple[int, str]],
) -> None:
    pool, gold = drawn(shared_data, name)
    server = translator(pool | gold)
    job = job_of(tmp_path, pool, gold, server)
    outcome = job.run()
    assert outcome.spending.spent <= outcome.spending.cap
    with Store.open(job.store_url) as store:
        labels = store.labels("translate", source=Source.ORACLE)
        texts = store.texts("translate", [x.text_id for x in labels])
        rounds = store.rounds("translate")
    assert len(labels) == 45
    answers = {server.model.says(t.strip(), Form("free"))[0] for t in pool}
    assert {x.value for x in labels} <= answers, "what the oracle said is what was kept"
    right = [TASK.is_right(pool[texts[x.text_id]], x.value) for x in labels]
    assert np.mean(right) == pytest.approx(1 - NOISE, abs=0.2)
    assert all(x.confidence is not None and 0.4 < x.confidence <= 1 for x in labels)
    assert rounds[-1].figures["metric"] == "chrf"

    assert outcome.delivered is not None
    final = outcome.delivered.final
    assert final["oracle"]["metric"] == "chrf"
    assert final["oracle"]["accuracy"] > 0.8
    assert {"bleu", "rouge_1", "rouge_2", "rouge_l", "right"} <= final["oracle"].keys()
    assert final["oracle"]["lo"] <= final["oracle"]["accuracy"] <= final["oracle"]["hi"]
    assert final["distilled"]["accuracy"] < 0.5, "two layers know no German"

    # people: what is kept as it is was right, what is mended was not
    with Workbench(job) as bench:
        queue = bench.store.queue(job.name)
        assert queue, "what the oracle is least sure of waits"
        for k, row in enumerate(queue):
            as_it_is = row.suggestion is not None and not row.blind and k % 2 == 0
            value = row.suggestion.value if as_it_is and row.suggestion else pool[row.text][0]
            bench.store.review(
                job.name, row.text_id, "ada", "label", Label(row.text_id, value, Source.PERSON, by="ada"), 2.0
            )
        found = agreeing(bench.store, job.name, bench.task, 0)
    assert found is not None
    assert (found.pairs, found.together) == ((), ())
    assert found.alike[0].a == "ada"
    assert 0 < found.alike[0].lo <= found.alike[0].mean <= found.alike[0].hi <= 1

    assert command("report", "job.yaml")[0] == 0
    html = (job.output_folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "chrF" in html
    code, said = command("agreement", "job.yaml")
    assert (code, "mean chrF" in said) == (0, True)
    assert command("export", "job.yaml", "--formats", "csv,datasets,chat")[0] == 0
    chats = [json.loads(x) for x in (job.output_folder / "labels" / "labels.chat.jsonl").read_text().splitlines()]
    assert {tuple(m["role"] for m in c["messages"]) for c in chats} == {("system", "user", "assistant")}
    assert all(c["messages"][1]["content"] in pool for c in chats)
    assert all("Translate" in c["messages"][0]["content"] for c in chats)
    code, said = command("export", "job.yaml", "--student")
    assert (code, "its student writes nothing of its own" in said) == (2, True)

    model = load_model(job.output_folder / "model")
    assert isinstance(model, Writer)
    assert model.asked.instruction == "Translate the sentence into German."
    written(tmp_path / "new.jsonl", [{"text": t} for t in list(gold)[:3]])
    assert command("predict", "out/model", "new.jsonl")[0] == 0
    rows = [json.loads(x) for x in (tmp_path / "new.labelled.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all({"text", "answer", "confidence", "entropy"} == row.keys() for row in rows)


@pytest.mark.slow
def test_of_several_answers_the_one_most_like_the_others_is_the_label(tmp_path: Path, shared_data: Path) -> None:
    pool, gold = drawn(shared_data, "ntrex")

    @dataclass(frozen=True)
    class Wavering(Translator):
        """Every third answer to a text is another sentence's."""

        asked: dict[str, int] = field(default_factory=dict)

        def says(self, text: str, form: Form) -> tuple[str, list[Token]]:
            self.asked[text] = self.asked.get(text, 0) + 1
            odd = self.asked[text] % 3 == 1 and chance("odd", text) < 0.5
            return super().says(next(iter(self.gold)) if odd and text in self.gold else text, form)

    model = Wavering({t.strip(): said[0] for t, said in pool.items()}, 0.0)
    with ScriptedServer({}, model=model) as server:
        oracle = SHOWN["oracle"] | {
            "base_url": server.url,
            "model": "scripted",
            "temperature": 0.7,
            "format": {"samples": 3},
        }
        stop = {"agreement": None, "max_labels": 15}
        data = {"pool": written(tmp_path / "p.jsonl", [{"text": t} for t in pool])}
        job = job_of(tmp_path, pool, gold, server, oracle=oracle, stop=stop, data=data, distil={"enabled": False})
        job.run()
        with Store.open(job.store_url) as store:
            labels = store.labels("translate", source=Source.ORACLE)
            texts = store.texts("translate", [x.text_id for x in labels])
            said = store.contents(x.answer_id for x in labels if x.answer_id is not None)
    assert len(labels) == 15
    assert [x.value for x in labels] == [pool[texts[x.text_id]][0] for x in labels], "two of three agree"
    assert [said[x.answer_id] for x in labels if x.answer_id] == [x.value for x in labels], (
        "its own answer stands by it"
    )
    sure = [x.confidence for x in labels if x.confidence is not None]
    assert max(sure) == pytest.approx(1.0)
    assert min(sure) < 0.6


def test_what_is_missing_at_the_end_is_told_before_anything_is_paid(
    tmp_path: Path, translator: Callable[..., ScriptedServer], command: Callable[..., tuple[int, str]]
) -> None:
    pool: Truth = {f"Text {k}": (f"Wort {k}",) for k in range(4)}
    server = translator(pool)
    job_of(tmp_path, pool, {"Text": ("Wort",)}, server, distil={"model": "models/none.gguf"})
    code, said = command("check", "job.yaml")
    assert (code, "no file models/none.gguf" in said) == (2, True)
    code, said = command("run", "job.yaml")
    assert (code, "no file models/none.gguf" in said) == (2, True)
    assert not server.asked
