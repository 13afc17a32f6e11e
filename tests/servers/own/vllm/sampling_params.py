"""`SamplingParams` and `StructuredOutputsParams`: the fields that exist, and what of them is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vllm.exceptions import VLLMValidationError


@dataclass
class StructuredOutputsParams:
    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None

    def __post_init__(self) -> None:
        given = (self.json, self.regex, self.choice, self.grammar, self.json_object)
        if sum(one is not None for one in given) != 1:
            raise VLLMValidationError("You must use one kind of structured outputs constraint")


@dataclass(kw_only=True)
class SamplingParams:
    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] = field(default_factory=list)
    bad_words: list[str] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    structured_outputs: StructuredOutputsParams | None = None
    allowed_token_ids: list[int] | None = None
    thinking_token_budget: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1:
            raise VLLMValidationError(f"top_p must be in (0, 1], got {self.top_p}.")
        if self.logprobs is not None and self.logprobs > 20:
            raise VLLMValidationError(f"Requested sample logprobs of {self.logprobs}, more than max_logprobs 20")
