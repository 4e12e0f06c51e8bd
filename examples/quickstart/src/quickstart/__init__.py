"""A small Dagster project: a file of measurements, and what can be learnt from it."""
