"""The Batch API of an OpenAI-compatible provider: a file of questions goes up, a day later at most answers come down.

Nothing here is retried by itself, no redirect is followed, and only one call can cost money: the one that starts a
batch. Whether one was started, where the answer to that call was lost, can often be found out: see `BatchApi.find`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from agent.errors import Charge, EndpointError, OracleError
from agent.job import OracleSettings, without_secrets
from agent.oracle.carrier import Look, Untraceable
from agent.oracle.completion import TRY_AGAIN, charge_of, told, words
from agent.oracle.lines import URL, file_of, masked
from agent.store import BatchRow

if TYPE_CHECKING:
    import openai
    from openai.types import Batch

T = TypeVar("T")

ENDED = ("completed", "failed", "expired", "cancelled")
RUNNING = ("validating", "in_progress", "finalizing", "cancelling")
LEAST_TIMEOUT_S = 120.0  # a provider may take its time to read a file of 200 MB
TRANSFER_S = 3600.0  # most that one file may be under way
LOOKS, LAST_LOOKS = 16, 4  # for a batch, before and after its file is taken away: at 5 s apart, 100 s
PAGES = 100  # of a list that are read
TAG = "labelwright"


class BatchApi:
    """Carries batches to one endpoint and back. For one event loop.

    Args:
        settings: an oracle with a `base_url`.
        folder: where downloaded files are put.
    """

    most_open = 10_000

    def __init__(self, settings: OracleSettings, folder: Path) -> None:
        import openai  # takes a second, and most jobs are live

        self.name, self.folder = settings.name, folder
        self.most_lines, self.most_bytes = settings.batch.lines, settings.batch.megabytes * 1_000_000
        self._endpoint = without_secrets(settings.address) or ""
        self.secret = settings.key()
        self.poll_s = settings.batch.poll_s
        self._timeout_s = max(settings.timeout_s, LEAST_TIMEOUT_S)
        timeout = openai.Timeout(self._timeout_s, connect=10.0)
        self._client = openai.AsyncOpenAI(
            base_url=settings.address,
            api_key=self.secret or "none",
            max_retries=0,  # a second `create` would be a second batch
            timeout=timeout,
            # texts go where the job file says, and nowhere else
            http_client=openai.DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False),
        )

    async def send(self, batch: BatchRow, file: Path) -> Mapping[str, Any]:
        """Upload the lines, which costs nothing. Returns what to remember. Raises OracleError, EndpointError."""
        made = await self._told(self._client.files.create(file=file, purpose="batch"), TRANSFER_S)
        return {"input_file_id": _text(made, "id"), "sent_to": self._endpoint}

    async def start(self, batch: BatchRow) -> str:
        """Start the batch, and return the provider's name for it.

        Raises OracleError, EndpointError; unless that is certain to have cost nothing, `find` what became of it.
        Untraceable: it was taken, under a name that cannot be read.
        """
        made = await self._told(
            self._client.batches.create(
                input_file_id=str(batch.details["input_file_id"]),
                endpoint=URL,
                completion_window="24h",
                metadata={TAG: token_of(batch), "job": batch.job[:512]},
            )
        )
        try:
            return _text(made, "id")
        except OracleError as error:
            raise Untraceable(str(error)) from None

    async def find(self, batch: BatchRow) -> str | None:
        """The provider's name of a batch that may have been started; None: it was not, and never will be.

        A list may lag behind, so it is read for a while. A batch that is nowhere to be seen may still be on its way,
        so its file is taken away: without it, what arrives later cannot start. Only where the provider says that this
        was done, and still lists nothing, the batch was not started. Raises Untraceable where that is not so,
        OracleError where it is worth another try.
        """
        if (found := await self._sought(batch, LOOKS)) is not None:
            return found
        deleted = await self._forget(str(batch.details["input_file_id"]))
        if (found := await self._sought(batch, LAST_LOOKS)) is not None:
            return found
        if batch.details.get("accepted"):
            raise Untraceable("the provider took it, but lists no such batch")
        if not deleted:
            raise Untraceable("it is not listed, but the provider does not say that it took its file away")
        return None

    async def is_gone(self, batch: BatchRow) -> bool:
        """Whether the endpoint that it was sent to lists batches, and not this one. Raises OracleError."""
        same = batch.details.get("sent_to", self._endpoint) == self._endpoint
        return same and await self._listed(batch) is None

    async def look(self, batch: BatchRow) -> Look:
        """How far it is. Raises OracleError, also (not retryable) where the provider does not know it any more."""
        return _look(await self._told(self._client.batches.retrieve(batch.remote_id)), self.secret)

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

    async def _sought(self, batch: BatchRow, looks: int) -> str | None:
        """The batch's name, as soon as the list has it; None after so many looks that brought something."""
        failed = 0
        while looks:
            try:
                if (found := await self._listed(batch)) is not None:
                    return found
                looks -= 1
            except OracleError as error:
                failed += 1
                if not error.retryable and batch.details.get("sent_to") == self._endpoint:
                    raise Untraceable(f"the list of batches cannot be read: {error}") from None
                if not error.retryable or failed > LOOKS:
                    raise
            await asyncio.sleep(self.poll_s)
        return None

    async def _listed(self, batch: BatchRow) -> str | None:
        page = await self._told(self._client.batches.list(limit=100))
        seen: set[str] = set()
        for _ in range(PAGES):
            for one in page.data or []:
                if _is_this(one, batch):
                    return _text(one, "id")
            names = {str(getattr(one, "id", "")) for one in page.data or []}
            if not page.has_next_page():
                return None
            if names <= seen:  # the same page again
                break
            seen |= names
            page = await self._told(page.get_next_page())
        raise Untraceable("the list of batches has no end")

    async def _forget(self, file_id: str) -> bool:
        """Take a file away; whether the provider says that it did. Raises OracleError where another try may help."""
        try:
            made = await self._told(self._client.files.delete(file_id))
        except OracleError as error:
            if error.retryable:
                raise
            return False
        return getattr(made, "deleted", None) is True

    async def _download(self, file_id: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        download = self._client.files.with_streaming_response.content(file_id)
        async with self._translated(TRANSFER_S), download as response:
            with part.open("wb") as file:
                async for piece in response.iter_bytes(1 << 18):
                    file.write(piece)
        part.replace(path)

    async def _told(self, call: Awaitable[T], most_s: float | None = None) -> T:
        async with self._translated(most_s):
            return await call
        raise AssertionError  # never reached: what goes wrong is raised

    @asynccontextmanager
    async def _translated(self, most_s: float | None = None) -> AsyncIterator[None]:
        """Errors of the client as ours, and an end to what drips for ever: the client only bounds silence."""
        import openai

        try:
            async with asyncio.timeout(most_s or self._timeout_s):
                yield
        except TimeoutError:
            raise OracleError(f"{self._endpoint}: timed out", charge=Charge.UNKNOWN) from None
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
        except (openai.OpenAIError, ValueError, AttributeError, TypeError, RecursionError) as error:
            raise OracleError(f"unreadable answer: {type(error).__name__}", charge=Charge.UNKNOWN) from None
        except Exception as error:
            # a stream that breaks off raises what the client's transport raises, and it may stand on one or another
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
                raise
            raise OracleError(f"{self._endpoint}: {type(error).__name__}", charge=Charge.UNKNOWN) from None

    def _refused(self, error: openai.APIStatusError) -> NoReturn:
        status, body = error.status_code, masked(error.body, self.secret)
        said = told(body, str(masked(error.response.reason_phrase, self.secret)))
        where = f"oracle {self.name} at {self._endpoint}"
        if 300 <= status < 400:
            raise EndpointError(f"{where} has moved (HTTP {status}); give the new address as `base_url`") from None
        if status in (401, 403):
            raise EndpointError(
                f"{where} refused the key (HTTP {status}: {said}); set `api_key_env` in the job file to the name of "
                "an environment variable that holds a valid key, and export it"
            ) from None
        refused = 400 <= status < 500
        raise OracleError(
            f"HTTP {status}: {said}",
            charge=charge_of(status),
            retryable=not refused or status in TRY_AGAIN,
        ) from None


def token_of(batch: BatchRow) -> str:
    """What marks a batch as this one, for whoever lists the batches of an account: two stores never share it."""
    return f"{batch.job[:200]}/{batch.oracle[:200]}/{batch.id}/{batch.details.get('nonce', '')}"[:512]


def _is_this(one: Batch, batch: BatchRow) -> bool:
    tags = getattr(one, "metadata", None)
    file_id = getattr(one, "input_file_id", None)
    tagged = isinstance(tags, Mapping) and tags.get(TAG) == token_of(batch)
    return tagged or (file_id is not None and str(file_id) == batch.details.get("input_file_id"))


def _look(batch: Batch, secret: str | None) -> Look:
    status = str(getattr(batch, "status", None) or "unknown")
    counts = getattr(batch, "request_counts", None)
    done, failed, total = (_count(counts, name) for name in ("completed", "failed", "total"))
    began, *ends = (getattr(batch, f"{name}_at", None) for name in ("in_progress", "finalizing", *ENDED))
    ended = next((at for at in ends if _is_time(at)), None)
    files = {f"{w}_file_id": getattr(batch, f"{w}_file_id", None) for w in ("output", "error")}
    return Look(
        status=status,
        ended=status in ENDED,
        understood=status in ENDED + RUNNING,
        done=done or 0,
        failed=failed or 0,
        total=total or 0,
        counted=done is not None and failed is not None,
        reason=_wrong(batch, secret),
        seconds=max(0.0, float(ended - began)) if _is_time(began) and ended is not None else None,
        details={"began": began is not None} | {name: str(i) for name, i in files.items() if i},
    )


def _wrong(batch: Batch, secret: str | None) -> str:
    """What the provider says was wrong with the whole batch: the first two of its errors."""
    found = getattr(getattr(batch, "errors", None), "data", None) or []
    said = [f"{getattr(e, 'code', None) or 'error'}: {getattr(e, 'message', None) or ''}" for e in found[:2]]
    return words(str(masked("; ".join(said), secret)), 400)


def _is_time(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)


def _count(counts: Any, name: str) -> int | None:
    found = getattr(counts, name, None)
    return found if type(found) is int and found >= 0 else None


def _text(made: Any, name: str) -> str:
    found = getattr(made, name, None)
    found = str(found) if type(found) is int else found  # some gateways number theirs
    if not isinstance(found, str) or not found:
        raise OracleError(f"unreadable answer: no {name}", charge=Charge.UNKNOWN)
    return found
