from typer.testing import CliRunner

from helpers.course.cli import application


def run(*arguments: str, answer: str | None = None):
    return CliRunner().invoke(application("cleanup"), ["cleanup", *arguments], input=answer, env={"COLUMNS": "200"})


def make_model(aws, name: str) -> None:
    container = {"Image": aws.image("sklearn")}
    aws.sagemaker.create_model(ModelName=name, ExecutionRoleArn=aws.role, PrimaryContainer=container)


def models(aws) -> set[str]:
    return {model["ModelName"] for model in aws.sagemaker.list_models()["Models"]}


def test_cleanup_lists_first_and_deletes_nothing_without_a_yes(aws):
    make_model(aws, "course-clean-a")
    result = run(answer="n\n")
    assert "course-clean-a" in result.output
    assert result.exit_code == 1
    assert "course-clean-a" in models(aws)


def test_cleanup_with_yes_deletes_the_courses_things_only(aws):
    make_model(aws, "course-clean-b")
    make_model(aws, "somebody-elses")
    result = run("--yes")
    assert result.exit_code == 0, result.output
    assert models(aws) & {"course-clean-b", "somebody-elses"} == {"somebody-elses"}


def test_cleanup_says_so_when_nothing_is_left(aws):
    run("--yes")
    assert "nothing is left" in run("--yes").output
