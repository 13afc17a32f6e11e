"""What a training depends on, as one hash: a training that was killed is taken up again under the same hash alone.

Knows JSON, arrays, settings and the machine; not what is trained.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.distill.network import has_fast_bfloat16
from agent.job import DistilSettings

FORMAT = 5
"""Of what is kept on the way."""


def fingerprint_of(
    what: Sequence[Any],
    numbers: Iterable[npt.NDArray[Any] | None],
    settings: DistilSettings,
    key: str,
) -> str:
    """Of what is learnt (as JSON says it, and as arrays), how, by which model (its `key`), and the machine's
    arithmetic."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    of_weights = settings.model_dump(exclude={"abstain_below", "abstain_at_accuracy", "label_threshold"})
    all_of_it = [FORMAT, *what, of_weights, key, device, torch.get_num_threads()]
    all_of_it += [torch.backends.cpu.get_cpu_capability(), has_fast_bfloat16("cpu")]
    all_of_it += [metadata.version(package) for package in ("torch", "transformers", "numpy", "scipy")]
    hashed = hashlib.sha256(json.dumps(all_of_it).encode())
    for array in numbers:
        hashed.update(b"" if array is None else np.ascontiguousarray(array, np.float32).tobytes())
    return hashed.hexdigest()
