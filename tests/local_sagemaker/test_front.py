"""The front answers for itself, and refuses web pages."""

import urllib.request


def test_health_needs_no_signature(server):
    with urllib.request.urlopen(f"{server.url}/_local/health") as answer:
        assert answer.status == 200


def test_create_describe_delete_model(sm, unique, role_arn):
    name = unique("model")
    sm.create_model(ModelName=name, PrimaryContainer={"Image": "local/x"}, ExecutionRoleArn=role_arn)
    assert sm.describe_model(ModelName=name)["ModelName"] == name
    sm.delete_model(ModelName=name)
