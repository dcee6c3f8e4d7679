"""Export jobs: a version of a model card as a PDF in S3."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import arns, errors, listing, staging
from helpers.local_sagemaker.operations import operation
from helpers.local_sagemaker.registry import model_cards, text_pdf
from helpers.local_sagemaker.registry.model_cards import EXPORT_KIND

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


@operation("CreateModelCardExportJob")
def create_model_card_export_job(server: Server, request: dict) -> dict:
    """The job has ended when it is answered: there is no state in which a kill could leave it."""
    card = model_cards.require(server, request["ModelCardName"], request.get("ModelCardVersion"))
    name, job = card["ModelCardName"], request["ModelCardExportJobName"]
    if server.store.get(EXPORT_KIND, f"{name}/{job}"):
        raise _taken(job)
    now = time.time()
    record = {
        "ModelCardExportJobName": job,
        "ModelCardExportJobArn": f"{card['ModelCardArn']}/export-job/{job}",
        "ModelCardName": name,
        "ModelCardVersion": card["ModelCardVersion"],
        "OutputConfig": request["OutputConfig"],
        "CreatedAt": now,
    }
    record |= _export(server, card, job, request["OutputConfig"]["S3OutputPath"]) | {"LastModifiedAt": time.time()}
    with server.store.transaction():
        if server.store.get(EXPORT_KIND, f"{name}/{job}"):
            raise _taken(job)
        server.store.put(EXPORT_KIND, f"{name}/{job}", record)
    return {"ModelCardExportJobArn": record["ModelCardExportJobArn"]}


def _taken(job: str) -> errors.AwsError:
    return errors.conflict(f"Model card export job {job} already exists.")


def _export(server: Server, card: dict, job: str, path: str) -> dict:
    """Writes the PDF; the members of the record that tell how that went."""
    file = f"{card['ModelCardName']}-{card['ModelCardVersion']}.pdf"
    try:
        location = staging.parse(path).below(job, file)
        body = text_pdf.write(list(_lines(card)))
        server.client("s3").put_object(
            Bucket=location.bucket, Key=location.key, Body=body, ContentType="application/pdf"
        )
    except (staging.StagingError, ClientError) as error:
        return {"Status": "Failed", "FailureReason": f"Failed to write the model card to {path}: {error}"}
    return {"Status": "Completed", "ExportArtifacts": {"S3ExportArtifacts": str(location)}}


def _lines(card: dict) -> Iterator[str]:
    """A card as lines of text."""
    yield f"Model card {card['ModelCardName']}, version {card['ModelCardVersion']}, {card['ModelCardStatus']}"
    yield ""
    yield from _outline(json.loads(card["Content"]), 0)


def _outline(value: object, depth: int) -> Iterator[str]:
    margin = "  " * depth
    if isinstance(value, dict):
        for name, member in value.items():
            words = name.replace("_", " ").capitalize()
            if isinstance(member, dict | list) and member:
                yield f"{margin}{words}"
                yield from _outline(member, depth + 1)
            else:
                yield f"{margin}{words}: {member}"
    else:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from _outline(item, depth)
            else:
                yield f"{margin}{item}"


@operation("DescribeModelCardExportJob")
def describe_model_card_export_job(server: Server, request: dict) -> dict:
    way = arns.name_of(model_cards.RESOURCE, request["ModelCardExportJobArn"])
    record = server.store.get(EXPORT_KIND, way.replace("/export-job/", "/", 1))
    if record is None:
        raise errors.resource_not_found(f"Model card export job {request['ModelCardExportJobArn']} does not exist.")
    return record


@operation("ListModelCardExportJobs")
def list_model_card_export_jobs(server: Server, request: dict) -> dict:
    asked = dict(request)
    if "ModelCardExportJobNameContains" in asked:
        asked["NameContains"] = asked.pop("ModelCardExportJobNameContains")
    found = [
        record
        for record in server.store.list(EXPORT_KIND, f"{request['ModelCardName']}/")
        if request.get("ModelCardVersion", record["ModelCardVersion"]) == record["ModelCardVersion"]
    ]
    page = listing.page(found, asked, "ModelCardExportJobName", "Status")
    return listing.response("ModelCardExportJobSummaries", *page)
