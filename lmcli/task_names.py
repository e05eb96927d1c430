"""The names of tasks: what a checkpoint is trained for, what an example is of, what a checkpoint is measured by."""

from __future__ import annotations

from typing import Literal

PretrainingTask = Literal["generate", "masked", "translate", "summarize"]
TrainingTask = Literal["classify", "translate", "summarize", "chat", "generate", "masked"]
ExampleTask = Literal[TrainingTask, "ask", "choose", "score"]
EvaluationTask = Literal["classify", "sentiment", "score", "translate", "summarize", "ask", "generate", "choose"]
