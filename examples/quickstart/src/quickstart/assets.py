"""The assets: one reads a file that is shipped with the code, one computes from it."""

import csv
from pathlib import Path

from dagster import AssetExecutionContext, asset

# Relative to the working directory: Dagster+ starts the code location in a copy of this project.
MEASUREMENTS = Path("data/temperatures.csv")


@asset
def temperatures() -> list[dict[str, str]]:
    """Daily mean temperatures, in degrees Celsius, as measured at two stations."""
    with MEASUREMENTS.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@asset
def warmest_day(context: AssetExecutionContext, temperatures: list[dict[str, str]]) -> dict[str, str]:
    """The warmest day of each station: station to date."""
    warmest: dict[str, dict[str, str]] = {}
    for row in temperatures:
        best = warmest.get(row["station"])
        if best is None or float(row["celsius"]) > float(best["celsius"]):
            warmest[row["station"]] = row
    context.log.info("warmest days: %s", warmest)
    return {station: row["date"] for station, row in warmest.items()}
