import pytest
from typer.testing import CliRunner

from helpers import local_sagemaker
from helpers.course import doctor as module
from helpers.course.cli import application


def run(*arguments: str):
    return CliRunner().invoke(application("doctor"), ["doctor", *arguments], env={"COLUMNS": "200"})


def test_a_whole_machine_passes_and_says_where_the_local_sagemaker_answers(aws):
    result = run()
    assert result.exit_code == 0, result.output
    assert aws.sagemaker.meta.endpoint_url in result.output


def test_a_local_sagemaker_that_did_not_run_is_started_and_stopped_again(monkeypatch, tmp_path):
    monkeypatch.setenv("LOCAL_SAGEMAKER_HOME", str(tmp_path / "home"))
    result = run()
    assert result.exit_code == 0, result.output
    assert "stopped again" in result.output
    assert local_sagemaker.status() is None


def test_a_missing_package_fails_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(module, "PACKAGES", ("no-such-package",))
    result = run()
    assert result.exit_code == 1
    assert "no-such-package" in result.output
    assert "run make" in result.output


def test_an_account_without_credentials_fails_with_the_reason(monkeypatch, tmp_path):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("COURSE_BACKEND", "aws")
    result = run("--backend", "aws")
    assert result.exit_code == 1
    assert "eu-west-1" in result.output
    assert "Unable to locate credentials" in result.output


def test_an_unknown_backend_is_refused():
    result = run("--backend", "azure")
    assert result.exit_code == 2
    assert "azure" in result.output


@pytest.mark.parametrize("error", [RuntimeError("no role"), OSError("no disk")])
def test_a_check_that_cannot_look_is_a_finding(error):
    def check():
        """Execution role."""
        raise error
        yield

    (finding,) = module._findings(check)
    assert (finding.what, finding.fault) == ("Execution role", str(error))
