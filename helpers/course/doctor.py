"""`course doctor`: says what a machine or an AWS account still lacks for the course."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from helpers.session import INSTANCE_TYPES, SageMakerHelper, connect, scale

PACKAGES = ("sagemaker", "boto3", "nbgrader", "pandas", "scikit-learn", "xgboost", "lightgbm", "shap")
TRAINING_QUOTA = "{instance_type} for training job usage"
ENDPOINT_QUOTA = "{instance_type} for endpoint usage"


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: what was looked at.
        fault: what to do about it; empty when all is well.
        detail: what was found.
    """

    what: str
    detail: str
    fault: str = ""


def doctor(
    backend: Annotated[str, typer.Option(help="local or aws")] = "local",
) -> None:
    """Check versions, region, role, quotas and budget alarm; exit with 1 if something is missing."""
    if backend not in ("local", "aws"):
        raise typer.BadParameter(f"{backend!r} is neither local nor aws", param_hint="--backend")
    checks = [*_machine_checks(), *(_aws_checks() if backend == "aws" else _local_checks())]
    table = Table("", "what", "found", "what to do")
    findings = [finding for check in checks for finding in _findings(check)]
    for finding in findings:
        table.add_row("missing" if finding.fault else "ok", finding.what, finding.detail, finding.fault)
    Console().print(table)
    if any(finding.fault for finding in findings):
        raise typer.Exit(1)


def _findings(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check found; a failure to look is a finding, too."""
    try:
        yield from check()
    except (BotoCoreError, ClientError, OSError, RuntimeError, ValueError) as error:
        what = (check.__doc__ or check.__name__).rstrip(".")
        yield Finding(what, type(error).__name__, str(error))


def _machine_checks() -> list[Callable[[], Iterator[Finding]]]:
    return [_python, _packages, _programs]


def _python() -> Iterator[Finding]:
    """Python."""
    supported = sys.version_info >= (3, 11)
    yield Finding("Python", sys.version.split()[0], "" if supported else "install Python 3.11 or newer")


def _packages() -> Iterator[Finding]:
    """Packages."""
    for name in PACKAGES:
        try:
            yield Finding(name, version(name))
        except PackageNotFoundError:
            yield Finding(name, "not installed", "run make, or pip install the course's wheel")


def _programs() -> Iterator[Finding]:
    """Programs."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    found = shutil.which("alembic", path=path)
    yield Finding("alembic (nbgrader's database)", found or "not found", "" if found else "run make")
    bound = shutil.which("bwrap")
    yield Finding("bubblewrap (binds /opt/ml for jobs)", bound or "not found: paths in scripts are rewritten instead")


def _local_checks() -> list[Callable[[], Iterator[Finding]]]:
    return [_local_sagemaker]


def _local_sagemaker() -> Iterator[Finding]:
    """Local SageMaker."""
    from helpers import local_sagemaker

    if running := local_sagemaker.status():
        yield Finding("local SageMaker", f"answers at {running.url}")
        return
    local_sagemaker.start()
    local_sagemaker.stop()
    yield Finding("local SageMaker", "starts and answers; stopped again")


def _aws_checks() -> list[Callable[[], Iterator[Finding]]]:
    os.environ["COURSE_BACKEND"] = "aws"
    session: list[SageMakerHelper] = []

    def aws() -> SageMakerHelper:
        if not session:
            session.append(connect())
        return session[0]

    def identity() -> Iterator[Finding]:
        """Region and credentials."""
        yield Finding("region", aws().region)
        yield Finding("account", aws().account)

    def role() -> Iterator[Finding]:
        """Execution role."""
        yield Finding("execution role", aws().role)

    def quotas() -> Iterator[Finding]:
        """Quotas."""
        yield from _quotas(aws())

    def budget() -> Iterator[Finding]:
        """Budget alarm."""
        budgets = aws().client("budgets").describe_budgets(AccountId=aws().account).get("Budgets", [])
        names = ", ".join(found["BudgetName"] for found in budgets)
        yield Finding(
            "budget", names or "none", "" if names else "deploy infra/account.yaml: it makes one with an alarm"
        )

    return [identity, role, quotas, budget]


def _quotas(aws: SageMakerHelper) -> Iterator[Finding]:
    size = scale()
    wanted = {
        TRAINING_QUOTA.format(instance_type=INSTANCE_TYPES["training"][size]),
        ENDPOINT_QUOTA.format(instance_type=INSTANCE_TYPES["endpoint"][size]),
    }
    pages = aws.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    found = {q["QuotaName"]: q["Value"] for page in pages for q in page["Quotas"] if q["QuotaName"] in wanted}
    for name in sorted(wanted):
        value = found.get(name, 0)
        yield Finding(name, f"{value:g}", "" if value >= 1 else "request at least 1 in the Service Quotas console")
