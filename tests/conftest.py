"""What every test gets: a shut network, quiet libraries, few threads, and the data folder where there is one."""

from __future__ import annotations

import os

# before numpy, torch or tokenizers are first imported; a worker of several gets one thread
os.environ["OMP_NUM_THREADS"] = "1" if "PYTEST_XDIST_WORKER" in os.environ else os.environ.get("OMP_NUM_THREADS", "2")
os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MPLBACKEND": "Agg",
    "COLUMNS": "120",  # tables of the commands come out the same on every terminal
}

import ipaddress
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from absl import logging as absl_logging

from tests.servers.scripted import ScriptedServer
from tests.stores import backend, new_store, postgres  # noqa: F401 - fixtures

hypothesis.settings.register_profile("here", deadline=None, max_examples=60)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=20, derandomize=True, database=None)
hypothesis.settings.register_profile("storm", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")

# rouge-score's absl would keep pytest's capture as its stream, and close it once uvicorn sets up logging anew
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

CHECKOUT = Path(__file__).resolve().parent.parent


MOST_WORKERS = 4


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: a sixth of their time tests wait for browsers, servers and other processes."""
    return min(MOST_WORKERS, 1 + len(os.sched_getaffinity(0)))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with the most slow tests come first: a long file that begins last would end alone, on one core."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


class NetworkShut(Exception):
    """A test tried to leave the machine."""


def _is_here(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


def _guarded(call: Callable[..., Any], place: Callable[..., object]) -> Callable[..., Any]:
    def guard(*args: Any, **kwargs: Any) -> Any:
        host = place(*args, **kwargs)
        if not _is_here(host):
            raise NetworkShut(f"tests reach no host but this one: {host!r} was asked for")
        return call(*args, **kwargs)

    return guard


@pytest.fixture(autouse=True, scope="session")
def network_is_shut() -> Iterator[None]:
    """Loopback only, for names, connections and datagrams alike."""

    def of_address(sock: socket.socket, address: Any, *_: Any) -> object:
        return address[0] if sock.family in (socket.AF_INET, socket.AF_INET6) else None

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name), of_address))
        patch.setattr(
            socket.socket, "sendto", _guarded(socket.socket.sendto, lambda s, *a: of_address(s, a[-1]))
        )  # fmt: skip
        patch.setattr(socket, "getaddrinfo", _guarded(socket.getaddrinfo, lambda host, *_, **__: host))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that lies beside the checkout, or where LABELWRIGHT_SHARED says."""
    folder = Path(os.environ.get("LABELWRIGHT_SHARED", CHECKOUT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no data sets at {folder}: set LABELWRIGHT_SHARED to the folder that holds data/")
    return folder


@pytest.fixture
def serve_gold() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts scripted servers that stop with the test: `serve_gold({text: label}, errors=0.1)`."""
    started: list[ScriptedServer] = []

    def start(gold: dict[str, Any], **options: Any) -> ScriptedServer:
        started.append(ScriptedServer(gold, **options).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()
