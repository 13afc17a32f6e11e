"""Labels into a model of your own: fine-tuning, calibration, a standard folder with its card, and labelling with it.

Importing this loads no torch; `distil` and `Model.load` do.
"""

from __future__ import annotations

from agent.distill.card import Figure
from agent.distill.compare import Compared, compare
from agent.distill.distil import Distilled, add_figures, distil, made_from, save_student
from agent.distill.grading import GradeLessons, Grades, distil_grades, is_grader
from agent.distill.onnx import Checks, write_onnx
from agent.distill.predict import Labeller, Model, load_model, predict_file
from agent.distill.runtime import Runtime
from agent.distill.tagging import SpanLessons, Tags, distil_spans, is_tagger
from agent.distill.targets import Examples
from agent.distill.writer import Asked, Writer, is_writer
from agent.distill.writing import TextLessons, distil_texts

__all__ = [
    "Asked",
    "Checks",
    "Compared",
    "Distilled",
    "Examples",
    "Figure",
    "GradeLessons",
    "Grades",
    "Labeller",
    "Model",
    "Runtime",
    "SpanLessons",
    "Tags",
    "TextLessons",
    "Writer",
    "add_figures",
    "compare",
    "distil",
    "distil_grades",
    "distil_spans",
    "distil_texts",
    "is_grader",
    "is_tagger",
    "is_writer",
    "load_model",
    "made_from",
    "predict_file",
    "save_student",
    "write_onnx",
]
