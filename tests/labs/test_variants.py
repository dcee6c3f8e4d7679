"""Right answers pass the graded tests, wrong ones that look right don't, in every lab."""

import inspect

import pytest
import tasks

TASKS = tasks.tasks()
VARIANTS = [
    pytest.param(task, name, id=f"{task.parameter}-{name}") for task in TASKS for name in sorted(tasks.variants(task))
]
RIGHT = [variant for variant in VARIANTS if variant.values[1].startswith("right_")]
WRONG = [variant for variant in VARIANTS if variant.values[1].startswith("wrong_")]
each_task = pytest.mark.parametrize("task", TASKS, ids=[task.parameter for task in TASKS])


@each_task
def test_a_task_has_a_right_variant_and_three_wrong_ones(task):
    names = list(tasks.variants(task))
    right, wrong = (sum(name.startswith(kind) for name in names) for kind in ("right_", "wrong_"))
    assert right >= 1 and wrong >= 3, f"{task.parameter} has {right} right and {wrong} wrong variants"


@each_task
def test_the_solution_earns_all_points(task):
    assert tasks.run(task) == task.points


@each_task
def test_the_blank_release_fails(task):
    with pytest.raises(NotImplementedError, match="Student exercise"):
        tasks.run(task, tasks.stub(task))


@each_task
def test_a_function_that_returns_nothing_fails(task):
    with pytest.raises((AssertionError, TypeError, AttributeError)):
        tasks.run(task, lambda *args, **kwargs: None)


@pytest.mark.parametrize(("task", "name"), RIGHT)
def test_a_right_variant_is_accepted(task, name):
    assert tasks.run(task, tasks.variants(task)[name]) == task.points


@pytest.mark.parametrize(("task", "name"), WRONG)
def test_a_wrong_variant_is_rejected_with_a_message_or_earns_what_it_deserves(task, name):
    variant = tasks.variants(task)[name]
    deserved = inspect.signature(variant).parameters.get("earns")
    if deserved is not None:
        assert tasks.run(task, variant) == deserved.default < task.points
        return
    with pytest.raises(AssertionError) as rejected:
        tasks.run(task, variant)
    assert str(rejected.value), f"{name} is rejected without a word"
