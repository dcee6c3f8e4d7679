"""Adds to captured requests the ground truth that was uploaded for them, by inference id or event id."""

from __future__ import annotations

import json
from pathlib import Path

from . import captured, datasets, job
from .job import DataError


def main(ml: Path) -> str:
    """Merges what the environment names; returns the exit message.

    Raises:
        DataError: nothing matches.
    """
    settings = job.settings(ml)
    truths = ground_truths(Path(settings.environment["ground_truth_source"]))
    merged = total = 0
    with (settings.output / "merged.jsonl").open("w") as file:
        for event in captured.events(settings.source):
            total += 1
            truth = next((truths[each] for each in event.ids if each in truths), None)
            if truth is not None:
                file.write(json.dumps(event.line | {"groundTruthData": truth}) + "\n")
                merged += 1
    if not merged:
        raise DataError(f"No ground truth matches any of the {total} captured events.")
    return f"Completed: Merged {merged} of {total} captured events with ground truth."


def ground_truths(source: Path) -> dict[str, dict]:
    """The groundTruthData of every event; of several for one event, the last counts.

    Raises:
        DataError: a line is no ground truth.
    """
    found = {}
    for path in datasets.files(source):
        with path.open() as file:
            for number, text in enumerate(filter(str.strip, file), 1):
                try:
                    line = json.loads(text)
                    found[str(line["eventMetadata"]["eventId"])] = line["groundTruthData"]
                except (ValueError, KeyError, TypeError) as error:
                    raise DataError(f"{path.name}, line {number} is no ground truth: {error!r}") from error
    return found
