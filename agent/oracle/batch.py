"""The Batch API of an OpenAI-compatible provider: a file of questions goes up, a day later at most answers come down.

Nothing here is retried by itself, and only one call can cost money: the one that starts a batch. Whether a batch was
started, where the answer to that call was lost, can be found out for certain: see `BatchApi.find`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import openai
from openai import AsyncOpenAI
from openai.types import Batch

from agent.errors import Charge, EndpointError, OracleError
from agent.job import OracleSettings, without_secrets
from agent.oracle.carrier import Look
from agent.oracle.completion import told, words
from agent.oracle.lines import URL, file_of
from agent.store import BatchRow

T = TypeVar("T")

ENDED = ("completed", "failed", "expired", "cancelled")
LEAST_TIMEOUT_S = 120.0  # a file of 200 MB takes its time
LOOKS = 3  # how often a batch is looked for before it is taken to be absent
TAG = "labelwright"


class BatchApi:
    """Carries batches to one endpoint and back. For one event loop.

    Args:
        settings: an oracle with a `base_url`.
        folder: where downloaded files are put.
    """

    most_open = 10_000

    def __init__(self, settings: OracleSettings, folder: Path) -> None:
        self.name, self.folder = settings.name, folder
        self.most_lines, self.most_bytes = settings.batch.lines, settings.batch.megabytes * 1_000_000
        self._endpoint = without_secrets(settings.base_url) or ""
        self._secret = settings.key()
        self._pause_s = settings.batch.poll_s
        self._client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=self._secret or "none",
            max_retries=0,  # a second `create` would be a second batch
            timeout=openai.Timeout(max(settings.timeout_s, LEAST_TIMEOUT_S), connect=10.0),
        )

    async def send(self, batch: BatchRow, file: Path) -> Mapping[str, Any]:
        """Upload the lines, which costs nothing. Returns what to remember. Raises OracleError, EndpointError."""
        made = await self._told(self._client.files.create(file=file, purpose="batch"))
        return {"input_file_id": _text(made, "id")}

    async def start(self, batch: BatchRow) -> str:
        """Start the batch, and return the provider's name for it.

        Raises OracleError, EndpointError; unless that is certain to have cost nothing, `find` what became of it.
        """
        made = await self._told(
            self._client.batches.create(
                input_file_id=str(batch.details["input_file_id"]),
                endpoint=URL,
                completion_window="24h",
                metadata={TAG: token_of(batch), "job": batch.job[:512]},
            )
        )
        return _text(made, "id")

    async def find(self, batch: BatchRow) -> str | None:
        """The provider's name of a batch that may have been started; None: it was not, and never will be.

        A batch that is nowhere to be seen may still be on its way, so its file is taken away first: without it, what
        arrives later cannot start. Raises OracleError where that cannot be found out.
        """
        for _ in range(LOOKS):
            if (found := await self._listed(batch)) is not None:
                return found
            await asyncio.sleep(self._pause_s)
        await self._forget(str(batch.details["input_file_id"]))
        return await self._listed(batch)

    async def look(self, batch: BatchRow) -> Look:
        """How far it is. Raises OracleError, also (not retryable) where the provider does not know it any more."""
        return _look(await self._told(self._client.batches.retrieve(batch.remote_id)))

    async def fetch(self, batch: BatchRow) -> list[Path]:
        """Download output and error file, each whole. Raises OracleError."""
        found: list[Path] = []
        for what in ("output", "error"):
            if file_id := batch.details.get(f"{what}_file_id"):
                path = file_of(self.folder, batch, what)
                await self._download(str(file_id), path)
                found.append(path)
        return found

    async def cancel(self, batch: BatchRow) -> None:
        """Ask the provider to stop; what it did until then is paid, and comes back. Raises OracleError."""
        await self._told(self._client.batches.cancel(batch.remote_id))

    def tidy(self, batch: BatchRow) -> None:
        """Forget the local copies: every answer is in the store by now."""
        for what in ("input", "output", "error"):
            file_of(self.folder, batch, what).unlink(missing_ok=True)

    def waits_for(self, batch: BatchRow) -> str:
        """What to tell a person about a batch that is not done."""
        return f"batch {batch.remote_id} is at the provider"

    async def close(self) -> None:
        await self._client.close()

    async def _listed(self, batch: BatchRow) -> str | None:
        async with self._translated():
            async for one in self._client.batches.list(limit=100):
                tag = (getattr(one, "metadata", None) or {}).get(TAG)
                same_file = getattr(one, "input_file_id", None) == batch.details.get("input_file_id")
                if tag == token_of(batch) or same_file:
                    return _text(one, "id")
        return None

    async def _forget(self, file_id: str) -> None:
        try:
            await self._told(self._client.files.delete(file_id))
        except OracleError as error:
            if error.retryable:  # one that is gone already, or a provider that deletes nothing, is no hindrance
                raise

    async def _download(self, file_id: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        download = self._client.files.with_streaming_response.content(file_id)
        async with self._translated(), download as response:
            with part.open("wb") as file:
                async for piece in response.iter_bytes(1 << 18):
                    file.write(piece)
        part.replace(path)

    async def _told(self, call: Awaitable[T]) -> T:
        async with self._translated():
            return await call
        raise AssertionError  # never reached: what goes wrong is raised

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        """Errors of the client as ours."""
        try:
            yield
        except openai.APIStatusError as error:
            self._refused(error)
        except openai.APIConnectionError as error:
            timed_out = isinstance(error, openai.APITimeoutError)
            before = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
            raise OracleError(
                f"{self._endpoint}: {'timed out' if timed_out else 'connection failed'}",
                charge=Charge.NONE if before else Charge.UNKNOWN,
                unreachable=before,
            ) from None
        except (openai.OpenAIError, ValueError, AttributeError, TypeError) as error:
            raise OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN) from None
        except Exception as error:
            # a stream that breaks off raises what the client's transport raises, and it may stand on one or another
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
                raise
            raise OracleError(f"{self._endpoint}: {type(error).__name__}", charge=Charge.UNKNOWN) from None

    def _refused(self, error: openai.APIStatusError) -> NoReturn:
        status, said = error.status_code, told(error.body, error.response.reason_phrase)
        said = said.replace(self._secret, "***") if self._secret else said
        where = f"oracle {self.name} at {self._endpoint}"
        if status in (401, 403):
            raise EndpointError(
                f"{where} refused the key (HTTP {status}: {said}); set `api_key_env` in the job file to the name of "
                "an environment variable that holds a valid key, and export it"
            ) from None
        certain = 400 <= status < 500
        raise OracleError(
            f"HTTP {status}: {said}",
            charge=Charge.NONE if certain else Charge.UNKNOWN,
            retryable=not certain or status in (408, 409, 425, 429),
        ) from None


def token_of(batch: BatchRow) -> str:
    """What marks a batch as this one, for whoever lists the batches of an account: two stores never share it."""
    return f"{batch.job[:200]}/{batch.oracle[:200]}/{batch.id}/{batch.details.get('nonce', '')}"[:512]


def _look(batch: Batch) -> Look:
    status = str(getattr(batch, "status", None) or "unknown")
    counts = getattr(batch, "request_counts", None)
    done, failed, total = (_count(counts, name) for name in ("completed", "failed", "total"))
    began, *ends = (getattr(batch, f"{name}_at", None) for name in ("in_progress", "finalizing", *ENDED))
    ended = next((at for at in ends if _is_time(at)), None)
    files = {f"{w}_file_id": getattr(batch, f"{w}_file_id", None) for w in ("output", "error")}
    return Look(
        status=status,
        ended=status in ENDED,
        done=done or 0,
        failed=failed or 0,
        total=total or 0,
        counted=done is not None and failed is not None,
        reason=_wrong(batch),
        seconds=max(0.0, float(ended - began)) if began is not None and ended is not None else None,
        details={name: str(i) for name, i in files.items() if i},
    )


def _wrong(batch: Batch) -> str:
    """What the provider says was wrong with the whole batch: the first two of its errors."""
    found = getattr(getattr(batch, "errors", None), "data", None) or []
    said = [f"{getattr(e, 'code', None) or 'error'}: {getattr(e, 'message', None) or ''}" for e in found[:2]]
    return words("; ".join(said), 400)


def _is_time(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _count(counts: Any, name: str) -> int | None:
    found = getattr(counts, name, None)
    return found if type(found) is int and found >= 0 else None


def _text(made: Any, name: str) -> str:
    found = getattr(made, name, None)
    if not isinstance(found, str) or not found:
        raise OracleError(f"unreadable answer: no {name}", charge=Charge.UNKNOWN)
    return found
