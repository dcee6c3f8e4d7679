"""Figures: printed, held to their bars, and kept with the machine's size."""

import datetime
import json
import os
import platform
from pathlib import Path

import psutil

RESULTS = Path(__file__).parents[1] / "_build" / "benchmarks.json"


class Report:
    """What one run of pytest measured."""

    def __init__(self) -> None:
        self.results: dict[str, dict] = {}

    def __call__(
        self,
        name: str,
        value: float,
        *,
        topic: str,
        bar: float,
        unit: str,
        slack: float = 1.0,
        at_least: bool = False,
        **details: object,
    ) -> None:
        """Prints, keeps and asserts a figure: `report("Cold start", 0.6, topic="Start", bar=1.0, unit="s", slack=3)`.

        The bar is what the course promises on an idle machine; the assertion allows `slack` times that, because a
        machine that runs other checks at the same time must not fail a build.

        Args:
            name: what was measured.
            value: what came out.
            topic: the table that it belongs to.
            bar: what it is held to.
            unit: of both.
            slack: how many times worse than the bar it may be.
            at_least: the value must reach the bar rather than stay within it.
            details: further figures of the same run.
        """
        held, enough = (value >= bar, value >= bar / slack) if at_least else (value <= bar, value <= bar * slack)
        self.results[name] = {
            "topic": topic,
            "value": round(value, 4),
            "bar": bar,
            "unit": unit,
            "at_least": at_least,
            "within_bar": held,
            "details": details,
        }
        more = "  ".join(f"{key} {content}" for key, content in details.items())
        print(f"\n{name}: {value:.3f} {unit} (bar {bar:g} {unit}: {'held' if held else 'MISSED'})  {more}")
        assert enough, f"{name}: {value:.3f} {unit}, more than {slack:g} times worse than the bar of {bar:g} {unit}"

    def write(self, path: Path) -> None:
        """Writes all figures, with the machine that they were measured on."""
        measured = {
            "date": datetime.date.today().isoformat(),
            "machine": machine(),
            "load": round(os.getloadavg()[0], 2),
            "results": self.results,
        }
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(measured, indent=1) + "\n")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "processor": models[0] if models else platform.processor(),
        "python": platform.python_version(),
    }
