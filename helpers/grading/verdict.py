"""What became of one submission: plain data, for the gradebook, the feedback and the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class TaskVerdict:
    """One graded cell.

    Attributes:
        task: its grade_id.
        score: points, None if a person still has to give them.
        points: that it is worth.
        reason: why the score is not full; empty if it is, or if a person decides.
        hidden: the reason comes from a hidden test.
        seconds: wall time of the test.
        traceback: end of the student's own traceback, if the student's code raised.
    """

    task: str
    score: float | None
    points: float
    reason: str = ""
    hidden: bool = False
    seconds: float = 0.0
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """One submission.

    Attributes:
        student: the student's id.
        tasks: in the order of the notebook; empty if it was refused.
        notes: what was mended before it ran.
        refusal: why it could not be graded; empty if it was.
        flags: why a person should look at it.
        seconds: wall time of its execution.
        memory: bytes that its processes used at the most, beyond what the lab's imports use; None if nobody looked.
        late_penalty: points that are taken off because it was late.
    """

    student: str
    tasks: tuple[TaskVerdict, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""
    flags: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: int | None = None
    late_penalty: float = 0.0

    @property
    def total(self) -> float:
        """Points given so far."""
        return sum(task.score or 0.0 for task in self.tasks)

    @property
    def points(self) -> float:
        """Points that the lab is worth."""
        return sum(task.points for task in self.tasks)

    @property
    def open_tasks(self) -> tuple[str, ...]:
        """Tasks that a person still has to grade."""
        return tuple(task.task for task in self.tasks if task.score is None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Verdict:
        """The verdict that `as_dict` gave."""
        tasks = tuple(TaskVerdict(**{**task, "traceback": tuple(task["traceback"])}) for task in kept["tasks"])
        return cls(**{**kept, "tasks": tasks, "notes": tuple(kept["notes"]), "flags": tuple(kept["flags"])})
