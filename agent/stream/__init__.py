"""What a served model sees: which inputs are kept for the next job, and whether they are still like what taught it.

Knows vectors, probabilities and a folder; no model and no HTTP.
"""

from __future__ import annotations

from agent.stream.drift import Alarm, Drift
from agent.stream.log import About, Log, Seen
from agent.stream.report import report

__all__ = ["About", "Alarm", "Drift", "Log", "Seen", "report"]
