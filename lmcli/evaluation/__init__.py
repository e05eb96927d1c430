"""Evaluation: how good answers are, by the measures of the field's own benchmarks."""
