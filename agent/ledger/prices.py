"""What a request costs: pure arithmetic on exact decimals, always rounded up to a whole micro-dollar.

A price of one dollar per million tokens is one micro-dollar per token. A price per GPU-hour is one for time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from unicodedata import normalize

from agent.errors import PriceMissing
from agent.job import OracleSettings, Price
from agent.records import MicroDollars, Question, Usage

HALF, WHOLE = Decimal("0.5"), Decimal(1)  # of the live price: at a Batch API, and for a command of one's own
TOKENS_PER_MESSAGE = 32  # role, separators and what else a chat template wraps around each message
TOKENS_PER_REQUEST = 64  # what a template puts before and after them, such as a default system line

Bound = Callable[[Question], int]


def prompt_bound(question: Question) -> int:
    """Most tokens that the prompt can be, whatever the tokenizer: a token of text stands for at least one byte.

    A picture has as many as the job says at most (`oracle.image_tokens`). The answer's schema counts, as some servers
    write it into the prompt and bill it.
    """
    tokens = schema_bytes(question) + sum(_bytes(m.content) for m in question.messages)
    return tokens + question.picture_tokens + TOKENS_PER_MESSAGE * len(question.messages) + TOKENS_PER_REQUEST


def schema_bytes(question: Question) -> int:
    """Bytes of the answer's schema as JSON."""
    return _bytes(json.dumps(dict(question.schema.json_schema), ensure_ascii=False, default=str))


def _bytes(text: str) -> int:
    """Bytes of UTF-8, at most: many tokenizers bring text into normal form first (Qwen NFC, others NFKC), and a few
    characters grow by that (U+0FB9 to twice its bytes, and to twice its bytes in tokens)."""
    if text.isascii():
        return len(text)
    forms = (text, normalize("NFC", text), normalize("NFKC", text))
    return max(len(form.encode("utf-8", "surrogatepass")) for form in forms)


def worst_case(price: Price, prompt_tokens: int, max_completion: int, timeout_s: float = 0.0) -> MicroDollars:
    """Most that one request can cost: every prompt token at its dearest, and the longest answer.

    Where the price is one per GPU-hour: the whole time-out, as if the request had the machine to itself.
    """
    if price.gpu_hour is not None:
        return gpu_time(price, timeout_s)
    per_input, per_cached, per_output = _per_token(price)
    return _up(max(per_input, per_cached) * prompt_tokens + per_output * max_completion)


def charge(price: Price, usage: Usage) -> MicroDollars:
    """What a request cost by its tokens; 0 where the price is one for time (see `gpu_time`).

    A count below zero is taken as zero, and more cached tokens than prompt tokens as all of them.
    """
    if price.gpu_hour is not None:
        return MicroDollars(0)
    per_input, per_cached, per_output = _per_token(price)
    prompt = max(usage.prompt_tokens, 0)
    cached = min(max(usage.cached_tokens, 0), prompt)
    return _up(per_input * (prompt - cached) + per_cached * cached + per_output * max(usage.completion_tokens, 0))


def gpu_time(price: Price, seconds: float) -> MicroDollars:
    """What so many seconds of the machine cost; 0 where the price is one for tokens."""
    if price.gpu_hour is None:
        return MicroDollars(0)
    return _up(price.gpu_hour * 1_000_000 * Decimal(seconds) / 3600)


def in_batch(price: Price, share: Decimal) -> Price:
    """What a token costs in a batch: `price.batch` times its live price, by default `share`. A GPU-hour is one."""
    if price.gpu_hour is not None:
        return price
    share = share if price.batch is None else price.batch
    per_input, per_cached, per_output = _per_token(price)
    return Price(input=per_input * share, cached_input=per_cached * share, output=per_output * share)


def shares(total: MicroDollars, most: Sequence[MicroDollars]) -> list[MicroDollars]:
    """Split a cost over attempts as evenly as their worst cases `most` allow; the whole of these where it is more."""
    left, given = int(total), [0] * len(most)
    for place, i in enumerate(sorted(range(len(most)), key=lambda i: most[i])):
        given[i] = min(int(most[i]), -(-left // (len(most) - place)))
        left -= given[i]
    return [MicroDollars(g) for g in given]


@dataclass(frozen=True, slots=True)
class Tariff:
    """One oracle's price, with what else its worst case needs: `bound` is most tokens that a prompt can be."""

    price: Price
    timeout_s: float
    bound: Bound = prompt_bound

    @classmethod
    def of(cls, oracle: OracleSettings, bound: Bound = prompt_bound) -> Tariff:
        """The tariff of a job's oracle. Raises PriceMissing where the job file gives no price."""
        if oracle.price is None:
            raise PriceMissing(
                f"oracle {oracle.name!r} ({oracle.model}) has no price; give it `price` with `input` and `output` in "
                "dollars per million tokens, or with `gpu_hour` for a server of your own"
            )
        return cls(oracle.price, oracle.timeout_s, bound)

    @classmethod
    def in_batches(cls, oracle: OracleSettings, bound: Bound = prompt_bound) -> Tariff:
        """The tariff of what goes out in a batch. Raises PriceMissing."""
        live = cls.of(oracle, bound)
        return replace(live, price=in_batch(live.price, HALF if oracle.run_batch is None else WHOLE))

    def worst(self, question: Question) -> MicroDollars:
        """Most that one request with this question can cost."""
        return worst_case(self.price, self.bound(question), question.schema.max_tokens, self.timeout_s)


def _per_token(price: Price) -> tuple[Decimal, Decimal, Decimal]:
    """Micro-dollars a token: input, cached input (where no price of its own, the input's), output."""
    if price.input is None or price.output is None:
        raise PriceMissing("a price needs `input` and `output` (dollars per million tokens), or `gpu_hour`")
    cached = price.input if price.cached_input is None else price.cached_input
    return price.input, cached, price.output


def _up(amount: Decimal) -> MicroDollars:
    return MicroDollars(int(amount.to_integral_value(rounding=ROUND_CEILING)))
