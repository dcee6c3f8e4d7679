"""Which steps of an execution are due, and how it ended: by what became of the steps that come first."""

from __future__ import annotations

from helpers.local_sagemaker.pipelines import records
from helpers.local_sagemaker.pipelines.definition import TRIGGERS, Definition, Step

_READY, _WAITING, _NEVER = "ready", "waiting", "never"
_FAILING = ("Failed", "Stopped")


def due(definition: Definition, steps: dict[str, dict], execution: dict) -> list[Step]:
    """The steps that may begin now, in the order of the definition."""
    selected = {item["StepName"] for item in execution.get("SelectiveExecutionConfig", {}).get("SelectedSteps", [])}
    has_failed = any(record["StepStatus"] in _FAILING for record in steps.values())
    allowed = handling(definition, steps)
    fates: dict[str, str] = {}
    found = []
    for step in definition.steps.values():
        if step.name in steps:
            continue
        is_out = (selected and step.name not in selected) or (has_failed and step.name not in allowed)
        fates[step.name] = _NEVER if is_out else _fate(step, steps, fates)
        if fates[step.name] == _READY:
            found.append(step)
    return found


def _fate(step: Step, steps: dict[str, dict], fates: dict[str, str]) -> str:
    """Whether a step that has not begun may, has to wait, or never will."""
    found = [_fate_after(step, name, steps, fates) for name in step.triggers]
    return next((fate for fate in (_NEVER, _WAITING) if fate in found), _READY)


def _fate_after(step: Step, upstream: str, steps: dict[str, dict], fates: dict[str, str]) -> str:
    """What one of the steps that come first lets a step do."""
    if upstream not in steps:
        return _NEVER if fates[upstream] == _NEVER else _WAITING
    status = steps[upstream]["StepStatus"]
    if status in records.RUNNING:
        return _WAITING
    if status not in TRIGGERS[step.triggers[upstream]]:
        return _NEVER
    is_other_branch = step.branch and step.branch[0] == upstream and not _takes(steps[upstream], step.branch[1])
    return _NEVER if is_other_branch else _READY


def _takes(condition: dict, outcome: str) -> bool:
    return condition["Metadata"]["Condition"]["Outcome"] == outcome


def handling(definition: Definition, steps: dict[str, dict]) -> set[str]:
    """The steps that run because another one failed or stopped, and those that come after them."""
    found: set[str] = set()
    for step in definition.steps.values():
        ended = {name: steps[name]["StepStatus"] for name in step.triggers if name in steps}
        cause = [name for name, status in ended.items() if status in _FAILING]
        if any(ended[name] in TRIGGERS[step.triggers[name]] for name in cause) or found & step.triggers.keys():
            found.add(step.name)
    return found


def final_status(definition: Definition, steps: dict[str, dict], stopping: bool) -> str:
    """The status of an execution of which nothing runs any more."""
    by_status = {s: {n for n, r in steps.items() if r["StepStatus"] == s} for s in _FAILING}
    if stopping:
        return "Failed" if by_status["Failed"] else "Stopped"
    ran = [step for step in definition.steps.values() if step.name in steps]
    handled = {
        name
        for step in ran
        for name, trigger in step.triggers.items()
        if steps[name]["StepStatus"] in TRIGGERS[trigger] and trigger != "Completed"
    }
    if by_status["Failed"] - handled:
        return "Failed"
    if by_status["Stopped"] - handled:
        return "Stopped"
    return "CompletedWithFailures" if by_status["Failed"] | by_status["Stopped"] else "Succeeded"
