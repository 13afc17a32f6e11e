"""The card can be read by people and by the hub, whatever the job's names hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.distill import Figure, distil
from agent.distill.card import Card, quoted
from agent.distill.distil import write_card
from agent.student.encoder import BUILTIN, Encoder
from tests.distill.conftest import GENTLE
from tests.distill.making import NAMES, examples

FACTS = {
    "job": "post | room\n# <script>alert(1)</script>",
    "labels": 312,
    "sources": {"oracle": 300, "person": 12},
    "by": {"local/qwen": 300, "ann [x](http://y)": 12},
    "prompt_hashes": ["abc123"],
    "cost_dollars": 1.8342,
    "cap_dollars": 5.0,
    "data": {"pool": "questions.parquet", "text": "text"},
    "guidelines": "Be kind.\n```\nand firm",
    "settings": {"seed": 3, "oracle": [{"model": "qwen"}]},
}


def card(**changes: Any) -> Card:
    figures = [Figure("accuracy", 0.9134, 0.89, 0.93, 400, "gold")]
    known: dict[str, Any] = {"names": NAMES, "multilabel": False, "encoder": BUILTIN, "max_tokens": 256}
    known |= {"training": {"epochs": 3, "seed": 3}, "figures": figures, "facts": FACTS}
    return Card(**(known | changes))


def front_matter(text: str) -> dict[str, Any]:
    assert text.startswith("---\n")
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_front_matter_is_what_the_hub_reads() -> None:
    head = front_matter(card().text())
    assert head["library_name"] == "transformers"
    assert head["pipeline_tag"] == "text-classification"
    assert head["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    (result,) = head["model-index"][0]["results"]
    assert result["metrics"] == [{"type": "accuracy", "value": 0.9134, "name": "accuracy"}]


def test_the_card_says_where_the_labels_came_from_and_what_they_cost() -> None:
    text = card().text()
    for said in ("questions.parquet", "312", "300", "abc123", "$1.8342", "$5.0000", "0.913", "0.890 to 0.930"):
        assert said in text
    assert "given by a machine" in text
    assert "given by a machine" not in card(facts=FACTS | {"sources": {"person": 12}}).text()


def test_what_an_audit_said_of_the_labels_is_on_the_card() -> None:
    assert "How right the labels are" not in card().text()
    said = "audit 1: accuracy 94.1\u202f%, 95\u202f% interval 92.6 to 95.4, from 400 blind items"
    text = card(facts=FACTS | {"audit": said}).text()
    assert "How right the labels are that machines gave: audit 1: accuracy 94.1 %, 95 % interval" in text


def test_names_of_the_job_are_shown_and_do_nothing() -> None:
    text = card(names=("a|b", "<img src=x>", "`code`", "*\u202eevil")).text().split("---\n", 2)[2]
    assert "<script>" not in text
    assert "<img" not in text
    assert "\u202e" not in text
    assert "\n# post \\| room \\# &lt;script&gt;" in text
    assert r"- a\|b" in text
    assert r"- \`code\`" in text


def test_guidelines_cannot_end_their_block() -> None:
    assert "````\nBe kind.\n```\nand firm\n````" in card().text()


def test_a_card_without_figures_says_so() -> None:
    text = card(figures=[], facts={}).text()
    assert "It was not measured" in text
    assert "model-index" not in front_matter(text)


def test_many_classes_do_not_flood_the_card() -> None:
    assert "and 300 more" in card(names=[f"c{i}" for i in range(500)]).text()


def test_a_quote_is_one_line_without_hidden_marks() -> None:
    assert quoted("a\nb\x00c") == "a b\\\\u0000c"


def test_no_card_tells_where_things_lie_on_a_machine(encoder: Encoder, tmp_path: Path) -> None:
    settings = {
        "task": {"labels": {"/sci/tech": "science"}, "guidelines": "~/jobs/how.md"},
        "data": {"pool": "/home/ada/secret/texts.csv", "gold": "../gold.csv", "seed": "seed.csv"},
        "oracle": [{"tape": "C:\\Users\\ada\\t.gz", "base_url": "https://api.example/v1",
                    "serve": {"python": "/opt/ada/bin/python", "args": ["--chat-template=/home/ada/chat.jinja"]}}],
        "store": "sqlite:////home/ada/labels.db",
        "output": "/home/ada/out",
    }  # fmt: skip
    facts = {"settings": settings, "data": settings["data"], "guidelines": "a / b\nin two lines"}
    distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m", facts=facts)
    for name in ("README.md", "labelwright.json"):
        said = (tmp_path / "m" / name).read_text(encoding="utf-8")
        assert not [word for word in ("ada", "opt", "~", "..", "sqlite") if word in said.replace("...", "")]
        for kept in ("texts.csv", "gold.csv", "t.gz", "how.md", "=chat.jinja", "/sci/tech", "https://api.example/v1"):
            assert kept in said


@pytest.mark.parametrize(("named", "base"), [("ada/mine", "ada/mine"), ("enc/mine", None), ("/enc/mine", None)])
def test_the_base_model_is_one_of_the_hub(
    named: str, base: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "enc" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    write_card(card(encoder=named), tmp_path)
    assert front_matter((tmp_path / "README.md").read_text(encoding="utf-8")).get("base_model") == base


def test_the_hub_s_own_reader_finds_the_metrics(tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    write_card(card(), tmp_path)
    found = ModelCard.load(tmp_path / "README.md").data
    assert (found.library_name, found.pipeline_tag) == ("transformers", "text-classification")
    assert [(r.metric_type, r.metric_value) for r in found.eval_results or ()] == [("accuracy", 0.9134)]


def test_the_card_of_a_model_names_no_path_of_this_machine(encoder: Encoder, tmp_path: Path) -> None:
    distil(examples(30), GENTLE, encoder=encoder, folder=tmp_path / "m")
    for name in ("README.md", "labelwright.json", "config.json", "tokenizer_config.json"):
        assert str(encoder.folder.parent) not in (tmp_path / "m" / name).read_text(encoding="utf-8")
