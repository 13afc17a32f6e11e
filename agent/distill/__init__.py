"""Labels into a model of your own: fine-tuning, calibration, a standard folder with its card, and labelling with it.

Importing this loads no torch; `distil` and `Model.load` do.
"""

from __future__ import annotations

from agent.distill.card import Figure
from agent.distill.compare import Compared, compare
from agent.distill.distil import Distilled, add_figures, distil, made_from, save_student
from agent.distill.predict import Model, predict_file
from agent.distill.tagging import SpanLessons, Tags, distil_spans, is_tagger
from agent.distill.targets import Examples

__all__ = [
    "Compared",
    "Distilled",
    "Examples",
    "Figure",
    "Model",
    "SpanLessons",
    "Tags",
    "add_figures",
    "compare",
    "distil",
    "distil_spans",
    "is_tagger",
    "made_from",
    "predict_file",
    "save_student",
]
