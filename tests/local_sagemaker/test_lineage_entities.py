"""Artifacts, contexts, actions and associations are kept, found, changed and deleted as on AWS."""

from unittest.mock import ANY

import pytest
from botocore.exceptions import ClientError

NOBODY = "arn:aws:sagemaker:us-east-1:111122223333:artifact/" + 32 * "0"


def refusal(call, **request):
    """Code and message of the error that a call ends in."""
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture
def artifact(sm, unique):
    """Makes an artifact; returns its ARN."""

    def make(uri=None, artifact_type="DataSet", **members):
        source = {"SourceUri": uri or f"s3://data/{unique('object')}"}
        return sm.create_artifact(Source=source, ArtifactType=artifact_type, **members)["ArtifactArn"]

    return make


def test_an_artifact_is_kept_with_all_that_was_said(sm, unique):
    source = {"SourceUri": f"s3://{unique('b')}/train.csv", "SourceTypes": [{"SourceIdType": "S3ETag", "Value": "e1"}]}
    told = {
        "ArtifactName": unique("artifact"),
        "ArtifactType": "DataSet",
        "Source": source,
        "Properties": {"rows": "100", "sha256": "ab"},
        "MetadataProperties": {"CommitId": "c0ffee", "Repository": "r", "GeneratedBy": "g", "ProjectId": "p"},
    }
    arn = sm.create_artifact(**told, Tags=[{"Key": "lab", "Value": "fraud"}])["ArtifactArn"]
    found = sm.describe_artifact(ArtifactArn=arn)
    assert {name: found[name] for name in told} == told
    assert found["CreationTime"] == found["LastModifiedTime"]
    assert found["LineageGroupArn"].endswith("lineage-group/sagemaker-default-lineage-group")
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "lab", "Value": "fraud"}]
    sm.delete_artifact(Source=source)
    assert refusal(sm.describe_artifact, ArtifactArn=arn) == ("ResourceNotFound", f"Artifact '{arn}' does not exist.")
    assert refusal(sm.list_tags, ResourceArn=arn)[0] == "ResourceNotFound"


def test_there_is_one_artifact_of_a_uri_and_a_content(sm, unique):
    uri = f"s3://{unique('b')}/train.csv"
    versions = [{"SourceUri": uri, "SourceTypes": [{"SourceIdType": "S3ETag", "Value": v}]} for v in "12"]
    arns = [sm.create_artifact(Source=source, ArtifactType="DataSet")["ArtifactArn"] for source in versions]
    assert len(set(arns)) == 2
    code, message = refusal(sm.create_artifact, Source=versions[0], ArtifactType="Model")
    assert code == "ValidationException"
    assert "already exists" in message
    assert arns[0] in message
    found = sm.list_artifacts(SourceUri=uri, SortOrder="Ascending")["ArtifactSummaries"]
    assert [one["ArtifactArn"] for one in found] == arns


def test_an_artifact_s_name_and_properties_change(sm, artifact):
    arn = artifact(Properties={"a": "1", "b": "2"})
    sm.update_artifact(ArtifactArn=arn, ArtifactName="named", PropertiesToRemove=["a", "x"])
    found = sm.describe_artifact(ArtifactArn=arn)
    assert (found["ArtifactName"], found["Properties"]) == ("named", {"b": "2"})
    sm.update_artifact(ArtifactArn=arn, Properties={"c": "3"})
    assert sm.describe_artifact(ArtifactArn=arn)["Properties"] == {"c": "3"}
    sm.update_artifact(ArtifactArn=arn, PropertiesToRemove=["c"])
    assert "Properties" not in sm.describe_artifact(ArtifactArn=arn)
    assert refusal(sm.update_artifact, ArtifactArn=NOBODY)[0] == "ResourceNotFound"


def test_a_deletion_names_one_artifact(sm):
    for request in ({}, {"ArtifactArn": NOBODY, "Source": {"SourceUri": "s3://a/b"}}):
        assert refusal(sm.delete_artifact, **request)[1] == "Provide either ArtifactArn or Source, and not both."
    assert refusal(sm.delete_artifact, ArtifactArn=NOBODY)[0] == "ResourceNotFound"


@pytest.mark.parametrize("kind", ["Context", "Action"])
def test_contexts_and_actions_are_kept_found_changed_and_deleted(sm, unique, kind):
    word, name, uri = kind.lower(), unique("Churn-Model"), f"arn:{unique('x')}"
    call = {verb: getattr(sm, f"{verb}_{word}") for verb in ("create", "describe", "update", "delete")}
    told = {
        f"{kind}Name": name,
        f"{kind}Type": unique("type"),
        "Source": {"SourceUri": uri, "SourceType": "ARN", "SourceId": "7"},
        "Description": "first",
        "Properties": {"a": "1"},
    }
    arn = call["create"](**told, Tags=[{"Key": "lab", "Value": "churn"}])[f"{kind}Arn"]
    assert arn.endswith(f":{word}/{name.lower()}")
    for given in (name, name.upper(), arn):
        found = call["describe"](**{f"{kind}Name": given})
        assert {member: found[member] for member in told} == told
    assert sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "lab", "Value": "churn"}]
    code, message = refusal(call["create"], **told)
    assert code == "ValidationException"
    assert "already exists" in message
    changes = {"Description": "second", "Properties": {"b": "2"}} | (
        {"Status": "Completed"} if kind == "Action" else {}
    )
    call["update"](**{f"{kind}Name": name}, **changes)
    found = call["describe"](**{f"{kind}Name": name})
    assert {member: found[member] for member in changes} == changes
    listed = getattr(sm, f"list_{word}s")
    for wanted in ({"SourceUri": uri}, {f"{kind}Type": told[f"{kind}Type"]}):
        summaries = listed(**wanted)[f"{kind}Summaries"]
        assert [summary[f"{kind}Arn"] for summary in summaries] == [arn]
    call["delete"](**{f"{kind}Name": name})
    assert refusal(call["describe"], **{f"{kind}Name": name}) == ("ResourceNotFound", f"{kind} '{arn}' does not exist.")
    assert listed(SourceUri=uri)[f"{kind}Summaries"] == []


def test_lists_hold_ten_sort_by_name_and_time_and_are_paged(sm, unique):
    kind, names = unique("kind"), [f"c{number:02}-{unique('x')}" for number in range(12)]
    for name in names:
        sm.create_context(ContextName=name, ContextType=kind, Source={"SourceUri": "x"})
    assert len(sm.list_contexts(ContextType=kind)["ContextSummaries"]) == 10
    for sort_by in ("Name", "CreationTime"):
        pages = sm.get_paginator("list_contexts").paginate(
            ContextType=kind, SortBy=sort_by, SortOrder="Ascending", PaginationConfig={"PageSize": 5}
        )
        assert [found["ContextName"] for page in pages for found in page["ContextSummaries"]] == names
    oldest = sm.list_contexts(ContextType=kind, SortOrder="Ascending", MaxResults=12)["ContextSummaries"]
    times = [found["CreationTime"] for found in oldest]
    late = sm.list_contexts(ContextType=kind, CreatedAfter=times[5], SortOrder="Ascending")["ContextSummaries"]
    assert {found["ContextName"] for found in late} <= {*names[5:]}
    early = sm.list_contexts(ContextType=kind, CreatedBefore=times[5])["ContextSummaries"]
    assert {found["ContextName"] for found in early} <= {*names[:6]}


def test_associations_are_added_listed_and_deleted(sm, artifact, unique):
    data, model = artifact(ArtifactName="data"), artifact(artifact_type="Model")
    action = sm.create_action(ActionName=unique("deploy"), ActionType="ModelDeployment", Source={"SourceUri": "x"})
    action = action["ActionArn"]
    assert sm.add_association(SourceArn=data, DestinationArn=model, AssociationType="DerivedFrom") == {
        "SourceArn": data,
        "DestinationArn": model,
        "ResponseMetadata": ANY,
    }
    sm.add_association(SourceArn=data, DestinationArn=action, AssociationType="ContributedTo")
    code, message = refusal(sm.add_association, SourceArn=data, DestinationArn=model, AssociationType="SameAs")
    assert code == "ValidationException"
    assert "already exists" in message
    by = {
        "SourceArn": (data, [action, model]),
        "DestinationArn": (model, [model]),
        "DestinationType": ("ModelDeployment", [action]),
        "AssociationType": ("DerivedFrom", [model]),
        "SourceType": ("DataSet", [action, model]),
    }
    for member, (value, ends) in by.items():
        found = sm.list_associations(**{"SourceArn": data, member: value})["AssociationSummaries"]
        assert [one["DestinationArn"] for one in found] == ends, member
    (one,) = sm.list_associations(DestinationArn=model)["AssociationSummaries"]
    assert (one["SourceType"], one["DestinationType"], one["SourceName"]) == ("DataSet", "Model", "data")
    assert "DestinationName" not in one
    for sort_by in ("SourceArn", "DestinationArn", "SourceType", "DestinationType", "CreationTime"):
        pages = sm.get_paginator("list_associations").paginate(
            SourceArn=data, SortBy=sort_by, SortOrder="Ascending", PaginationConfig={"PageSize": 1}
        )
        ends = [found["DestinationArn"] for page in pages for found in page["AssociationSummaries"]]
        wanted = {"DestinationArn": sorted([model, action]), "DestinationType": [model, action]}
        assert ends == wanted.get(sort_by, ends if sort_by.startswith("Source") else [model, action])
        assert {*ends} == {model, action}
    sm.delete_association(SourceArn=data, DestinationArn=model)
    assert refusal(sm.delete_association, SourceArn=data, DestinationArn=model)[0] == "ResourceNotFound"
    assert sm.list_associations(DestinationArn=model)["AssociationSummaries"] == []


def test_an_association_needs_two_entities_that_exist(sm, artifact):
    data = artifact()
    for source, destination in ((data, NOBODY), (NOBODY, data)):
        code, message = refusal(
            sm.add_association, SourceArn=source, DestinationArn=destination, AssociationType="Produced"
        )
        assert (code, message) == ("ResourceNotFound", f"Resource '{NOBODY}' does not exist.")
    code, _ = refusal(sm.add_association, SourceArn=data, DestinationArn=data, AssociationType="Produced")
    assert code == "ValidationException"


def test_an_entity_with_associations_is_not_deleted(sm, artifact):
    data, model = artifact(), artifact()
    sm.add_association(SourceArn=data, DestinationArn=model, AssociationType="DerivedFrom")
    for arn in (data, model):
        assert "it has associations" in refusal(sm.delete_artifact, ArtifactArn=arn)[1]
    sm.delete_association(SourceArn=data, DestinationArn=model)
    sm.delete_artifact(ArtifactArn=data)


def test_all_entities_are_in_the_account_s_group(sm):
    (group,) = sm.list_lineage_groups()["LineageGroupSummaries"]
    found = sm.describe_lineage_group(LineageGroupName=group["LineageGroupName"])
    assert found["LineageGroupArn"] == group["LineageGroupArn"]
    assert refusal(sm.describe_lineage_group, LineageGroupName="other")[0] == "ResourceNotFound"
