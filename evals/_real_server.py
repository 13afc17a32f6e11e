"""Tokens a second of a real vLLM server, asked by the metered path, by a bare client, and by `vllm bench serve`.

All send the same kind of prompts (different texts after one shared beginning), one message each, held to the same
four labels, with at most 256 in flight, and take turns. No prompt is sent twice, since a server keeps what it worked
out. Tokens are those that the server counts in its usage; `vllm bench serve` counts prompts by its own tokenizer, so
its requests a second are taken times the tokens that a request of the bare client had.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from agent.job import OracleSettings
from agent.oracle import ChatOracle
from agent.records import Message, Question, TextId, Usage
from evals._asking import IN_FLIGHT, SCHEMA, SYSTEM, fenced, letter, metered, settings
from evals.outcome import RESULTS, Outcome

NAME = "throughput_vllm"
AT_LEAST = 0.95
BENCH_S = 3600
# what `vllm bench serve` does. The command itself asks for a package named vllm, which builds for processors are not,
# and it reads prompts with pandas, which need not be there
BENCH = """\
import argparse, json
from vllm.benchmarks.datasets import CustomDataset
from vllm.benchmarks.serve import add_cli_args, main
CustomDataset.load_data = lambda self: setattr(self, "data", [json.loads(line) for line in open(self.dataset_path)])
parser = argparse.ArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""
TIMEOUT_S = 1800.0
NUMBERS = count(time.time_ns() // 1000)  # of letters that nobody was asked about, in an earlier run neither


@dataclass(frozen=True)
class Rate:
    """What one arm did in one round."""

    requests_s: float
    tokens_s: float


def prompts(size: int) -> list[str]:
    """Prompts that were never sent before, with the beginning that all of them share."""
    return [f"{SYSTEM}\n\n{fenced(letter(next(NUMBERS)))}" for _ in range(size)]


def as_questions(texts: Sequence[str]) -> list[Question]:
    return [
        Question(f"{i:064d}", TextId(f"text-{i}"), (Message("user", text),), SCHEMA, "prompt")
        for i, text in enumerate(texts)
    ]


def body(url: str, model: str, text: str) -> dict[str, Any]:
    """The request that every arm sends."""
    return _oracle(url, model).body(as_questions([text])[0])


def _oracle(url: str, model: str) -> ChatOracle:
    return ChatOracle(_settings(url, model), mode="choice", logprobs=False)


def _settings(url: str, model: str) -> OracleSettings:
    """A small machine may take minutes until it comes to the last of 256 requests."""
    return settings(url, model).model_copy(update={"timeout_s": TIMEOUT_S})


def _rate(usages: Sequence[Usage | None], seconds: float) -> Rate:
    tokens = sum(u.prompt_tokens + u.completion_tokens for u in usages if u is not None)
    return Rate(len(usages) / seconds, tokens / seconds)


async def by_labelwright(url: str, model: str, folder: Path, texts: Sequence[str]) -> Rate:
    """Asker, ledger and store."""
    given = _settings(url, model)
    seconds, _, found = await metered(_oracle(url, model), given, folder, as_questions(texts))
    return _rate([a.answer.usage if a.answer else None for a in found.values()], seconds)


async def by_client(url: str, model: str, texts: Sequence[str]) -> Rate:
    """The openai client on aiohttp and a semaphore: nothing is counted or kept."""
    import openai

    turns = asyncio.Semaphore(IN_FLIGHT)
    made = _oracle(url, model)
    http = openai.DefaultAioHttpClient(timeout=openai.Timeout(TIMEOUT_S))
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:

        async def one(question: Question) -> Usage | None:
            request = made.body(question)
            extra = {"structured_outputs": request.pop("structured_outputs")}
            async with turns:
                got = await client.chat.completions.create(**request, extra_body=extra)
            return got.usage and Usage(got.usage.prompt_tokens, got.usage.completion_tokens)

        questions = as_questions(texts)
        began = time.perf_counter()
        usages = await asyncio.gather(*map(one, questions))
        return _rate(usages, time.perf_counter() - began)


def by_bench(python: Path, url: str, model: str, folder: Path, texts: Sequence[str]) -> tuple[float, str]:
    """(requests a second by `vllm bench serve`, why there is no figure)."""
    data = folder / "prompts.jsonl"
    data.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts), encoding="utf-8")
    extra = {k: v for k, v in body(url, model, texts[0]).items() if k not in ("model", "messages")}
    command = [
        *(python, "-c", BENCH, "--backend", "openai-chat"),
        *("--base-url", url.removesuffix("/v1"), "--endpoint", "/v1/chat/completions", "--model", model),
        *("--dataset-name", "custom", "--dataset-path", data, "--num-prompts", len(texts), "--disable-shuffle"),
        *("--max-concurrency", IN_FLIGHT, "--extra-body", json.dumps(extra), "--skip-tokenizer-init"),
        *("--save-result", "--result-dir", folder, "--result-filename", "bench.json", "--disable-tqdm"),
    ]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=BENCH_S)
    try:
        said = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last = (done.stderr.strip() or "nothing").splitlines()[-1]
        return 0.0, f"`vllm bench serve` ended with {done.returncode}: {last[:160]}"
    if said["completed"] != len(texts):
        return 0.0, f"`vllm bench serve` had {said['completed']} of {len(texts)} answers"
    return float(said["request_throughput"]), ""


def measure(
    outcome: Outcome, folder: Path, url: str, model: str, *, python: Path | None, size: int, rounds: int
) -> None:
    """Rows of all arms, `rounds` times in turn, and the ratios."""
    asyncio.run(by_client(url, model, prompts(min(32, size))))  # the server's own warm-up, and the shared beginning
    mine: list[Rate] = []
    bare: list[Rate] = []
    bench: list[float] = []
    trouble = "" if python else "no environment with vLLM was named: `--vllm-python /root/vllm/bin/python`"
    for number in range(rounds):
        place = folder / f"real-{number}"
        place.mkdir()
        turns: list[Callable[[], object]] = [
            lambda place=place: mine.append(asyncio.run(by_labelwright(url, model, place, prompts(size)))),  # type: ignore[misc]
            lambda: bare.append(asyncio.run(by_client(url, model, prompts(size)))),
        ]
        for turn in turns if number % 2 == 0 else reversed(turns):
            turn()
        if python and not trouble:
            requests_s, trouble = by_bench(python, url, model, place, prompts(size))
            bench.append(requests_s)
    what = f"{size} prompts, {IN_FLIGHT} in flight, {model}"
    outcome.add(f"{what}: labelwright", statistics.median(r.tokens_s for r in mine), "tokens/s, ledger on")
    outcome.add(
        f"{what}: bare client",
        statistics.median(r.tokens_s for r in bare),
        "tokens/s, nothing kept",
        rival="AsyncOpenAI on aiohttp",
    )
    _ratio(outcome, "labelwright : bare client", [m.tokens_s / b.tokens_s for m, b in zip(mine, bare, strict=True)])
    if trouble:
        outcome.add(f"{what}: vllm bench serve", "not measured", trouble, rival="vllm bench serve")
        return
    tokens = statistics.median(r.tokens_s / r.requests_s for r in bare)
    outcome.add(f"{what}: vllm bench serve", tokens * statistics.median(bench), "tokens/s", rival="vllm bench serve")
    _ratio(outcome, "labelwright : vllm bench serve", [m.requests_s / b for m, b in zip(mine, bench, strict=True)])


def _ratio(outcome: Outcome, what: str, ratios: Sequence[float]) -> None:
    found = statistics.median(ratios)
    spread = f"times, {min(ratios):.3f} to {max(ratios):.3f} in {len(ratios)} rounds"
    outcome.add(what, found, spread, target=f">= {AT_LEAST}", holds=found >= AT_LEAST)


def quoted(outcome: Outcome) -> None:
    """The rows of the last measurement on a real server, or one that says there is none."""
    rows = list(_kept())
    for figure, row in rows:
        outcome.add(figure, row["value"], row["unit"], target=row["target"], holds=row["holds"], rival=row["rival"])
    if not rows:
        outcome.add("on a real vLLM server", "not measured", "`python -m evals.throughput --vllm URL` measures it")


def _kept() -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        found = json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for row in found["rows"]:
        yield f"as last measured on vLLM: {row['figure']}", row


def served_model(url: str) -> str:
    """The model that a server has."""
    with urllib.request.urlopen(f"{url}/models", timeout=30) as reply:
        name: str = json.load(reply)["data"][0]["id"]
    return name
