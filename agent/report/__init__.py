"""Numbers and pictures: what a job found, as a page, as JSON, on the terminal, and its labels as files.

`gather` reads a store into `Findings`; everything that is shown is a function of those alone.
"""

from agent.report.export import PoolRow, export, formats_of
from agent.report.findings import Findings, Gain, Quoted, Unfitting
from agent.report.gather import Evidence, gather, last_final
from agent.report.page import page, write
from agent.report.terminal import final_table

__all__ = [
    "Evidence",
    "Findings",
    "Gain",
    "PoolRow",
    "Quoted",
    "Unfitting",
    "export",
    "final_table",
    "formats_of",
    "gather",
    "last_final",
    "page",
    "write",
]
