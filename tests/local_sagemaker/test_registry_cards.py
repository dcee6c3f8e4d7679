"""Model cards: content by AWS's schema, versions, status, and exports that a PDF reader can open."""

import json

import deployed
import matplotlib
import pypdfium2
import pytest
from botocore.exceptions import ClientError
from evented import Bus
from registered import Registry

from helpers.local_sagemaker.registry import text_pdf

CONTENT = {
    "model_overview": {"model_id": "m-1", "model_name": "churn", "model_description": "Who leaves (soon)?"},
    "intended_uses": {"purpose_of_model": "Letters to customers", "risk_rating": "Low"},
    "business_details": {"business_problem": "Churn"},
    "training_details": {
        "objective_function": {"function": {"function": "Maximize", "facet": "AUC"}, "notes": "on March"},
        "training_job_details": {"training_metrics": [{"name": "auc", "value": 0.91}]},
    },
    "evaluation_details": [
        {
            "name": "March",
            "metric_groups": [
                {"name": "all", "metric_data": [{"name": "auc", "type": "number", "value": 0.9}]},
                {"name": "roc", "metric_data": [{"name": "roc", "type": "linear_graph", "value": [[0, 0], [1, 1]]}]},
            ],
        }
    ],
    "additional_information": {"custom_details": {"owner": "risk"}},
}


@pytest.fixture
def card(sm, unique):
    """`card(status)`: a new card's name."""

    def create(status="Draft", **members):
        name = unique("card")
        sm.create_model_card(ModelCardName=name, Content=json.dumps(CONTENT), ModelCardStatus=status, **members)
        return name

    return create


def error_of(call, **request):
    with pytest.raises(ClientError) as refused:
        call(**request)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def test_a_card_is_described_by_name_and_by_arn(sm, card):
    name = card(Tags=[{"Key": "a", "Value": "b"}])
    described = sm.describe_model_card(ModelCardName=name)
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:model-card/{name}"
    assert (described["ModelCardArn"], described["ModelCardVersion"], described["ModelCardStatus"]) == (arn, 1, "Draft")
    assert json.loads(described["Content"]) == CONTENT
    assert "IamIdentity" in described["CreatedBy"]
    assert sm.describe_model_card(ModelCardName=arn)["ModelCardName"] == name
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    metadata = sm.describe_model_card(ModelCardName=name, IncludedData="MetadataOnly")["Content"]
    assert json.loads(metadata) == {
        "model_overview": {"model_id": "m-1", "model_name": "churn"},
        "intended_uses": {"risk_rating": "Low"},
    }
    taken = error_of(sm.create_model_card, ModelCardName=name, Content="{}", ModelCardStatus="Draft")
    assert taken == ("ConflictException", f"Modelcard {name} already exists.")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("{", "not valid JSON"),
        ("[]", "the content"),
        ('{"overview": {}}', "'overview' was unexpected"),
        ('{"intended_uses": {"risk_rating": "Huge"}}', "intended_uses.risk_rating"),
        ('{"evaluation_details": [{"datasets": []}]}', "evaluation_details.0: 'name' is a required property"),
        (
            '{"evaluation_details": [{"name": "a", "metric_groups": [{"name": "b", "metric_data":'
            ' [{"name": "c", "type": "number", "value": "high"}]}]}]}',
            "metric_data.0",
        ),
        (json.dumps({"model_overview": {"model_description": "x" * 1025}}), "model_overview.model_description"),
    ],
    ids=lambda value: value[:30],
)
def test_content_that_is_none_is_refused(sm, card, unique, content, place):
    code, message = error_of(sm.create_model_card, ModelCardName=unique("no"), Content=content, ModelCardStatus="Draft")
    assert code == "ValidationException"
    assert place in message
    assert error_of(sm.update_model_card, ModelCardName=card(), Content=content)[0] == "ValidationException"


def test_new_content_is_a_new_version_and_a_status_is_not(sm, card):
    name = card()
    other = CONTENT | {"business_details": {"business_problem": "More churn"}}
    sm.update_model_card(ModelCardName=name, ModelCardStatus="PendingReview")
    assert sm.describe_model_card(ModelCardName=name)["ModelCardVersion"] == 1
    sm.update_model_card(ModelCardName=name, Content=json.dumps(other))
    sm.update_model_card(ModelCardName=name, ModelCardStatus="Approved")
    latest, first = (sm.describe_model_card(ModelCardName=name, **version) for version in ({}, {"ModelCardVersion": 1}))
    assert (latest["ModelCardVersion"], latest["ModelCardStatus"]) == (2, "Approved")
    assert json.loads(latest["Content"]) == other
    assert (first["ModelCardVersion"], first["ModelCardStatus"]) == (1, "PendingReview")
    assert json.loads(first["Content"]) == CONTENT
    assert latest["LastModifiedTime"] > latest["CreationTime"] == first["CreationTime"]

    def listed(**request):
        found = sm.list_model_card_versions(ModelCardName=name, **request)["ModelCardVersionSummaryList"]
        return [version["ModelCardVersion"] for version in found]

    assert listed() == [2, 1]
    assert listed(SortOrder="Ascending") == [1, 2]
    assert listed(ModelCardStatus="Approved") == [2]
    both = {"ModelCardName": name, "Content": "{}", "ModelCardStatus": "Draft"}
    assert error_of(sm.update_model_card, **both)[0] == "ValidationException"
    assert error_of(sm.describe_model_card, ModelCardName=name, ModelCardVersion=3) == (
        "ResourceNotFound",
        f"Modelcard with name {name} and version: 3 does not exist.",
    )


def test_an_archived_card_is_not_updated_but_exported_and_deleted(sm, card, bucket):
    name = card("Archived")
    assert error_of(sm.update_model_card, ModelCardName=name, ModelCardStatus="Draft")[0] == "ConflictException"
    assert error_of(sm.update_model_card, ModelCardName=name, Content="{}")[0] == "ConflictException"
    request = {"ModelCardName": name, "OutputConfig": {"S3OutputPath": f"s3://{bucket}/cards"}}
    arn = sm.create_model_card_export_job(ModelCardExportJobName="one", **request)["ModelCardExportJobArn"]
    sm.delete_model_card(ModelCardName=name)
    missing = ("ResourceNotFound", f"Modelcard {name} does not exist.")
    assert error_of(sm.describe_model_card, ModelCardName=name) == missing
    assert error_of(sm.delete_model_card, ModelCardName=name) == missing
    assert error_of(sm.describe_model_card_export_job, ModelCardExportJobArn=arn)[0] == "ResourceNotFound"


def test_cards_are_listed_by_status_and_name(sm, card, unique):
    names = [card(status) for status in ("Draft", "Approved", "Draft")]

    def listed(**request):
        found = sm.list_model_cards(**request)["ModelCardSummaries"]
        return [each["ModelCardName"] for each in found if each["ModelCardName"] in names]

    assert listed() == names[::-1]
    assert listed(SortBy="Name", SortOrder="Ascending") == sorted(names)
    assert listed(ModelCardStatus="Approved") == [names[1]]
    assert listed(NameContains=names[0]) == [names[0]]


def test_an_export_is_a_pdf_in_s3(sm, s3, card, bucket):
    name = card()
    path = {"OutputConfig": {"S3OutputPath": f"s3://{bucket}/cards"}}
    arn = sm.create_model_card_export_job(ModelCardName=name, ModelCardExportJobName="good", **path)[
        "ModelCardExportJobArn"
    ]
    assert arn == f"arn:aws:sagemaker:us-east-1:111122223333:model-card/{name}/export-job/good"
    job = sm.describe_model_card_export_job(ModelCardExportJobArn=arn)
    assert (job["Status"], job["ModelCardVersion"]) == ("Completed", 1)
    key = job["ExportArtifacts"]["S3ExportArtifacts"].removeprefix(f"s3://{bucket}/")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    assert body.startswith(b"%PDF-1.")
    assert "Model description: Who leaves (soon)?" in "".join(pages_of(body))
    nowhere = {"OutputConfig": {"S3OutputPath": "s3://no-such-bucket-at-all/cards"}}
    bad = sm.create_model_card_export_job(ModelCardName=name, ModelCardExportJobName="bad", **nowhere)
    failed = sm.describe_model_card_export_job(ModelCardExportJobArn=bad["ModelCardExportJobArn"])
    assert failed["Status"] == "Failed"
    assert "no-such-bucket-at-all" in failed["FailureReason"]
    taken = error_of(sm.create_model_card_export_job, ModelCardName=name, ModelCardExportJobName="good", **path)
    assert taken[0] == "ConflictException"

    def listed(**request):
        found = sm.list_model_card_export_jobs(ModelCardName=name, **request)["ModelCardExportJobSummaries"]
        return [each["ModelCardExportJobName"] for each in found]

    assert listed(SortBy="Name", SortOrder="Ascending") == ["bad", "good"]
    assert listed(StatusEquals="Completed") == listed(ModelCardExportJobNameContains="oo") == ["good"]
    assert listed(ModelCardVersion=2) == []


def pages_of(pdf):
    """The text of each page, as a PDF reader finds it."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [page.get_textpage().get_text_bounded() for page in document]


def test_a_pdf_of_many_lines_has_pages_that_hold_every_word_within_their_margins():
    lines = [f"line {number} " + "word " * 30 for number in range(50)] + ["snowman ☃ (\\) señor $a_b$"]
    with matplotlib.rc_context({"savefig.bbox": "tight"}):
        pdf = text_pdf.write(lines)
    first, *_, last = pages = pages_of(pdf)
    assert len(pages) == 2
    assert "".join(pages).count("word") == 50 * 30
    assert first.startswith("line 0 word")
    assert "snowman ☃ (\\) señor $a_b$" in last
    with pypdfium2.PdfDocument(pdf) as document:
        drawn = document[0].render(scale=1, grayscale=True).to_numpy() < 128
    rows, columns = drawn.any(axis=1).nonzero()[0], drawn.any(axis=0).nonzero()[0]
    assert rows[0] > 20 and rows[-1] < len(drawn) - 20
    assert columns[0] > 20 and columns[-1] < drawn.shape[1] - 20


def test_a_card_s_status_is_told(client, sm, card, unique):
    bus = Bus(client, unique)
    queue = bus.collect({"detail-type": ["SageMaker Model Card State Change"]})
    name = card()
    sm.update_model_card(ModelCardName=name, ModelCardStatus="Approved")

    def is_approval(event):
        return event["detail"]["ModelCardName"] == name and event["detail"]["ModelCardStatus"] == "Approved"

    event = next(filter(is_approval, queue.until(is_approval)))
    assert event["resources"] == [f"arn:aws:sagemaker:us-east-1:111122223333:model-card/{name}"]
    assert event["detail"]["AccountId"] == "111122223333"
    assert "Content" not in event["detail"]
    bus.close()


def test_a_model_package_has_a_card_of_its_own(sm, s3, bucket, unique):
    registry = Registry(sm, s3, bucket, unique)
    content = {"model_overview": {"model_creator": "risk"}, "intended_uses": {"risk_rating": "High"}}
    card = {"ModelCardContent": json.dumps(content), "ModelCardStatus": "PendingReview"}
    arn = registry.version(registry.group(), ModelCard=card)
    assert registry.describe(arn)["ModelCard"] == card
    metadata = sm.describe_model_package(ModelPackageName=arn, IncludedData="MetadataOnly")["ModelCard"]
    assert json.loads(metadata["ModelCardContent"]) == {"intended_uses": {"risk_rating": "High"}}
    sm.update_model_package(ModelPackageArn=arn, ModelCard=card | {"ModelCardStatus": "Approved"})
    assert registry.describe(arn)["ModelCard"]["ModelCardStatus"] == "Approved"
    wrong = {"ModelPackageArn": arn, "ModelCard": {"ModelCardContent": '{"x": 1}'}}
    assert error_of(sm.update_model_package, **wrong)[0] == "ValidationException"
    assert deployed.SKLEARN in json.dumps(registry.describe(arn)["InferenceSpecification"])
