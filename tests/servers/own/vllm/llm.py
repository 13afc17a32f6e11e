"""`vllm.LLM` with a made-up model: answers out of a file of gold labels, with probabilities that its text decides.

The variable STAND_IN is JSON:

    gold        a file of {"text": ..., "label": ...} lines
    log         a file that gets a line for each question before it is answered, and one for each that was loaded
    pids        a file that gets the numbers of engine and worker
    opens       it is loaded once this file is there
    dies        while it loads
    dies_at     a word: at a question with it the engine dies
    waits       a file: no question is answered before it is there
    slow_s      seconds that a question takes
    stubborn    neither it nor its worker heeds SIGTERM
    defaults    what its generation_config.json says
    extra       so many answers more than questions
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vllm.exceptions import EngineDeadError, VLLMValidationError
from vllm.sampling_params import SamplingParams
from vllm.worker import log, start_worker

ARGS = ("dtype", "enforce_eager", "max_num_seqs", "enable_prefix_caching", "gpu_memory_utilization", "seed")
POLL_S = 0.01
END = 2  # the token that ends an answer


class Tokenizer:
    """A token is a word. Token numbers are made up as words come."""

    def __init__(self) -> None:
        self._words = ["<pad>", "<s>", "</s>"]

    def apply_chat_template(self, conversation: list[dict[str, str]], *, tokenize: bool, **told: Any) -> str:
        assert not tokenize
        end = "\nassistant:" if told["add_generation_prompt"] else ""
        return "\n".join(f"{turn['role']}: {turn['content']}" for turn in conversation) + end

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [self.number(word) for word in text.split()]

    def decode(self, numbers: Sequence[int]) -> str:
        return " ".join(self._words[i] for i in numbers)

    def number(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)


class LLM:
    def __init__(self, model: str, *, max_model_len: int = 4096, **kwargs: Any) -> None:
        if unknown := kwargs.keys() - set(ARGS):
            raise TypeError(f"EngineArgs.__init__() got an unexpected keyword argument '{min(unknown)}'")
        self._told: dict[str, Any] = json.loads(os.environ["STAND_IN"])
        if "pids" in self._told:
            start_worker(Path(self._told["pids"]), stubborn=bool(self._told.get("stubborn")))
        log(f"Loading model {model}")
        if self._told.get("dies"):
            raise ValueError("no room for the weights of this model")
        self._wait_for("opens")
        rows = Path(self._told["gold"]).read_text(encoding="utf-8").splitlines() if "gold" in self._told else []
        self._gold = {row["text"]: row["label"] for row in map(json.loads, rows)}
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=max_model_len))
        self._tokenizer = Tokenizer()
        self._write({"loaded": model, "args": kwargs})

    def get_tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def get_default_sampling_params(self) -> SamplingParams:
        return SamplingParams(**self._told.get("defaults", {}))

    def chat(  # noqa: PLR0917 - as it is
        self,
        messages: Sequence[list[dict[str, str]]],
        sampling_params: Sequence[SamplingParams] | None = None,
        use_tqdm: bool = True,
        lora_request: Any = None,
        priority: Any = None,
        chat_template: str | None = None,
        chat_template_content_format: str = "auto",
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        tools: Any = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        mm_processor_kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        assert sampling_params is not None
        prompts = [self._rendered(one, add_generation_prompt) for one in messages]
        self._wait_for("waits")
        told = {"together": len(messages), "template": chat_template_kwargs}
        asked = zip(messages, sampling_params, prompts, strict=True)
        found = [self._answered(m, p, tokens, told) for m, p, tokens in asked]
        return found + found[:1] * int(self._told.get("extra", 0))

    def _rendered(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> list[int]:
        said = self._tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt
        )
        tokens = self._tokenizer.encode(said, add_special_tokens=False)
        most = self.llm_engine.model_config.max_model_len
        if len(tokens) >= most:
            raise VLLMValidationError(f"The decoder prompt is longer than the maximum model length of {most}.")
        if "<forbidden>" in said:
            raise VLLMValidationError("roles must alternate")
        return tokens

    def _answered(
        self, messages: list[dict[str, str]], params: SamplingParams, tokens: list[int], told: dict[str, Any]
    ) -> Any:
        text = messages[-1]["content"].split("<text>")[-1].split("</text>")[0].strip()
        if (fatal := self._told.get("dies_at")) and fatal in text:
            log("torch.AcceleratorError: CUDA error: an illegal memory access was encountered")
            raise EngineDeadError
        threading.Event().wait(self._told.get("slow_s", 0.0))
        kept = {name: getattr(params, name) for name in ("temperature", "repetition_penalty", "max_tokens", "top_p")}
        self._write({"text": text, "prompt_tokens": len(tokens), "params": kept, **told})
        said, choices = self._said(text, params)
        sure = 0.55 + int(hashlib.sha256(text.encode()).hexdigest()[:4], 16) / 0xFFFF * 0.44
        numbers = [self._tokenizer.number(said), END]
        others = [self._tokenizer.number(c) for c in choices if c != said]
        first = {numbers[0]: self._logprob(sure, said)}
        first |= {i: self._logprob((1 - sure) / len(others), self._tokenizer.decode([i])) for i in others}
        logprobs = [first, {END: self._logprob(1.0, None)}] if params.logprobs is not None else None
        chosen = SimpleNamespace(text=said, token_ids=numbers, logprobs=logprobs, finish_reason="stop")
        return SimpleNamespace(outputs=[chosen], prompt_token_ids=tokens, num_cached_tokens=3)

    def _said(self, text: str, params: SamplingParams) -> tuple[str, list[str]]:
        """The answer, and all that it might have been."""
        held = params.structured_outputs
        label = self._gold.get(text, "fruit")
        if held is None:
            return label, []
        if held.choice is not None:
            return (label if label in held.choice else held.choice[0]), held.choice
        return json.dumps({"label": label}), []

    def _logprob(self, probability: float, word: str | None) -> Any:
        return SimpleNamespace(logprob=math.log(probability), rank=1, decoded_token=word)

    def _write(self, row: dict[str, Any]) -> None:
        with Path(self._told["log"]).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"pid": os.getpid(), **row}) + "\n")

    def _wait_for(self, name: str) -> None:
        while (path := self._told.get(name)) and not Path(path).exists():
            threading.Event().wait(POLL_S)
