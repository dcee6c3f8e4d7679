"""What runs here, read from the code itself: operations and how far they go, images, and other services."""

from __future__ import annotations

import importlib.metadata

from helpers.local_sagemaker import alarms, app, auto_scaling, images, model, operations, routes, shims
from helpers.local_sagemaker.athena import athena_api
from helpers.local_sagemaker.events import scheduler
from helpers.local_sagemaker.operations import Level
from helpers.local_sagemaker.pipelines import step_checks
from helpers.local_sagemaker.pipelines.handlers import HANDLERS
from helpers.local_sagemaker.pipelines.resources import RESOURCES

SERVICES = ("sagemaker", *routes.SERVICES)
_SIGNED = {"monitoring": "cloudwatch"}  # a service whose signature has another name than its clients


def levels() -> dict[str, dict[str, Level]]:
    """Every operation that botocore knows, by service, and how far it goes."""
    assert app.OPERATION_MODULES, "importing them registers their operations"
    return {
        service: {name: operations.level(name) for name in model.service(service)["operations"]} for service in SERVICES
    }


def repositories() -> dict[str, str]:
    """The repositories of images that are known, and the local runtime that stands in for each."""
    return {name: images.runtime_for(name.replace("<name>", "name"), processing=True).name for name in images.KNOWN}


def shimmed() -> list[tuple[str, list[str], str]]:
    """Operations of other services that are answered by code of our own, by service, and what that does."""
    found = [
        (auto_scaling.SERVICE, [*auto_scaling.OPERATIONS], "instances follow their real metrics and the schedule."),
        (
            athena_api.SERVICE,
            [*athena_api.OPERATIONS],
            "SELECT and CREATE EXTERNAL TABLE (CSV) run on DuckDB, over S3.",
        ),
        ("monitoring", [*alarms.OPERATIONS], "alarms are evaluated by M of N periods, and take their actions."),
        (scheduler.SERVICE, [*scheduler.OPERATIONS], "schedules start jobs and pipelines, and send messages."),
    ]
    for handler in dict.fromkeys(shims.SHIMS.values()):
        answered = [key for key, shim in shims.SHIMS.items() if shim is handler]
        summary = (handler.__doc__ or "").partition("\n")[0]
        found.append((answered[0][0], [name for _, name in answered], summary.partition(": ")[2] or summary))
    return [(_SIGNED.get(service, service), names, summary) for service, names, summary in found]


def step_types() -> list[tuple[str, str, bool, bool]]:
    """The types of pipeline steps that run: what each does, and whether it may have a cache and retry policies."""
    found = []
    for name in step_checks.TYPES:
        resource, begin = RESOURCES.get(name), HANDLERS[name].begin
        does = f"`Create{resource.stem}`" if resource else (begin.__doc__ or "").partition("\n")[0]
        found.append((name, does, step_checks.has_cache(name), bool(resource and resource.retried)))
    return found


def moto_services() -> list[str]:
    """The names of the services that moto has, SageMaker's own left out."""
    from moto.backend_index import backend_url_patterns

    return sorted({name for name, _ in backend_url_patterns if not name.startswith(("sagemaker", "moto", "instance"))})


def moto_version() -> str:
    """Of the installed moto."""
    return importlib.metadata.version("moto")
