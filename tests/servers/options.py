"""The scripted server's command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.charges import Prices
from tests.servers.faults import BatchFaults, Faults
from tests.servers.quirks import WORDINGS, WRAPS, Quirks

IGNORED = ["structured_outputs", "response_format", "max_completion_tokens", "max_tokens"]


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    gold: Path
    errors: float
    seed: int
    port: int
    log: Path | None
    model: str
    faults: Faults
    batch_faults: BatchFaults
    prices: Prices
    quirks: Quirks
    until_stdin_ends: bool = False


def arguments(words: Sequence[str]) -> Options:
    """Read the command line; ends the program with a message where it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers.scripted", description="an OpenAI-compatible server that answers from a script"
    )
    for add in (_add_what, _add_money, _add_faults, _add_capacity, _add_quirks, _add_batches):
        add(parser)
    return _read(parser.parse_args(words))


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gold", type=Path, required=True, help='JSON lines of {"text": ..., "label": ...}')
    parser.add_argument("--errors", type=float, default=0.0, help="share of texts it is wrong about")
    parser.add_argument("--seed", type=int, default=0, help="of answers and faults")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--log", type=Path, help="one JSON line a request, appended")
    parser.add_argument("--model", default="scripted", help="the one model it serves")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when who started it is gone")
    parser.add_argument("--no-logprobs", action="store_true")
    parser.add_argument("--ignore", action="append", default=[], choices=IGNORED)


def _add_money(parser: argparse.ArgumentParser) -> None:
    money = parser.add_argument_group("prices, in dollars per million tokens")
    money.add_argument("--input-price", default="1")
    money.add_argument("--output-price", default="2")
    money.add_argument("--cached-price", help="of cached input; the input's where not given")
    money.add_argument("--batch-factor", default="0.5", help="what a batch's line costs of a live request's price")
    money.add_argument("--cached-share", type=float, default=0.0, help="of the prompt, reported as cached")


def _add_faults(parser: argparse.ArgumentParser) -> None:
    faults = parser.add_argument_group("faults; a SHARE is of chat requests")
    faults.add_argument("--fail-401", action="store_true", help="refuse every key")
    for name, said in {
        "fail-503": "refused, not charged",
        "fail-429": "refused, not charged",
        "hang": "charged, then silence",
        "reset": "charged, then a reset connection",
        "truncated": "charged, half a body",
        "bad-json": "charged, a body that is no JSON",
        "garbage": "charged, a label that is not in the set",
        "omit-usage": "charged, no usage",
        "charged-503": "charged, and a 503",
    }.items():
        faults.add_argument(f"--{name}", type=float, default=0.0, metavar="SHARE", help=said)
    faults.add_argument("--no-usage", action="store_true", help="never say the usage")
    faults.add_argument("--hang-s", type=float, default=600.0, help="the longest silence")
    faults.add_argument("--retry-after-s", type=float, default=0.0, help="what a 429 asks to wait")
    faults.add_argument("--retry-after-date", action="store_true", help="say it as a date")
    faults.add_argument("--skew-s", type=float, default=0.0, help="how far this server's clock is ahead")


def _add_capacity(parser: argparse.ArgumentParser) -> None:
    capacity = parser.add_argument_group("how fast it is")
    capacity.add_argument("--latency-ms", type=float, default=0.0)
    capacity.add_argument("--jitter-ms", type=float, default=0.0, help="up to so much more, evenly drawn")
    capacity.add_argument("--workers", type=int, help="requests served at once; the others wait")
    capacity.add_argument("--queue", type=int, help="requests that wait at most; the others are refused")
    capacity.add_argument("--busy-status", type=int, default=503, choices=[429, 503], help="how they are refused")
    capacity.add_argument("--requests-per-minute", type=int)
    capacity.add_argument("--tokens-per-minute", type=int)
    capacity.add_argument("--window-s", type=float, default=60.0, help="how long a minute is")


def _add_quirks(parser: argparse.ArgumentParser) -> None:
    quirks = parser.add_argument_group("in what it differs from others")
    quirks.add_argument("--refuse", action="append", default=[], metavar="FIELD", help="of a request, with HTTP 400")
    quirks.add_argument("--wording", default="openai", choices=WORDINGS, help="whose words refusals are in")
    quirks.add_argument("--no-system", type=int, default=0, metavar="STATUS", help="how a system message is refused")
    quirks.add_argument("--most-logprobs", type=int, help="more alternatives a token are refused")
    quirks.add_argument("--wraps", default="", choices=["", *WRAPS], help="around an answer that no schema holds")
    quirks.add_argument("--explains", type=int, default=0, metavar="TOKENS", help="after such an answer")
    quirks.add_argument("--thinks", type=int, default=0, metavar="TOKENS", help="before every answer")


def _add_batches(parser: argparse.ArgumentParser) -> None:
    batches = parser.add_argument_group("batches")
    batches.add_argument("--batch-phase-s", type=float, default=0.0, help="seconds that each phase takes")
    batches.add_argument("--batch-polls", type=int, help="looks at a batch that each phase takes, instead of time")
    batches.add_argument("--batch-failed", type=float, default=0.0, metavar="SHARE", help="lines that fail")
    batches.add_argument("--batch-duplicated", type=float, default=0.0, metavar="SHARE", help="lines output twice")
    batches.add_argument("--batch-expire-after", type=float, metavar="SHARE", help="of lines, then it expires")
    batches.add_argument("--batch-refused", action="store_true", help="every input file is refused")
    batches.add_argument("--batch-shuffled", action="store_true", help="output lines in no order")
    batches.add_argument(
        "--batch-503", type=float, default=0.0, metavar="SHARE", help="of requests for files, batches"
    )
    batches.add_argument("--batch-truncated", type=float, default=0.0, metavar="SHARE", help="downloads cut short")
    batches.add_argument(
        "--batch-submit-reset", type=float, default=0.0, metavar="SHARE", help="accepted, then reset"
    )
    batches.add_argument("--batch-most-lines", type=int, default=50_000)


def _read(found: argparse.Namespace) -> Options:
    return Options(
        gold=found.gold,
        errors=found.errors,
        seed=found.seed,
        port=found.port,
        log=found.log,
        model=found.model,
        faults=_faults(found),
        batch_faults=BatchFaults(
            phase_s=found.batch_phase_s,
            polls=found.batch_polls,
            share_failed=found.batch_failed,
            share_duplicated=found.batch_duplicated,
            expire_after=found.batch_expire_after,
            refuses_input=found.batch_refused,
            shuffled=found.batch_shuffled,
            share_503=found.batch_503,
            share_truncated=found.batch_truncated,
            share_submit_reset=found.batch_submit_reset,
            most_lines=found.batch_most_lines,
        ),
        quirks=Quirks(
            refuses=frozenset(found.refuse),
            wording=found.wording,
            no_system=found.no_system,
            most_logprobs=found.most_logprobs,
            wraps=found.wraps,
            explains=found.explains,
            thinks=found.thinks,
        ),
        prices=Prices(found.input_price, found.output_price, found.cached_price, found.batch_factor),
        until_stdin_ends=found.until_stdin_ends,
    )


def _faults(found: argparse.Namespace) -> Faults:
    return Faults(
        refuses_key=found.fail_401,
        share_503=found.fail_503,
        share_429=found.fail_429,
        share_hang=found.hang,
        share_reset=found.reset,
        share_truncated=found.truncated,
        share_bad_json=found.bad_json,
        share_garbage=found.garbage,
        share_no_usage=found.omit_usage,
        share_charged_503=found.charged_503,
        retry_after_s=found.retry_after_s,
        retry_after_date=found.retry_after_date,
        hang_s=found.hang_s,
        latency_s=found.latency_ms / 1000,
        jitter_s=found.jitter_ms / 1000,
        skew_s=found.skew_s,
        cached_share=found.cached_share,
        no_usage=found.no_usage,
        no_logprobs=found.no_logprobs,
        ignored=frozenset(found.ignore),
        requests_per_minute=found.requests_per_minute,
        tokens_per_minute=found.tokens_per_minute,
        window_s=found.window_s,
        workers=found.workers,
        queue=found.queue,
        busy_status=found.busy_status,
    )
