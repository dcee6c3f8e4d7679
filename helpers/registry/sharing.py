"""Lets other accounts deploy a group's versions: the group's policy, the bucket's and the key's part of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from helpers.session import SageMakerHelper

_READ_GROUP = ["sagemaker:DescribeModelPackageGroup"]
_READ_VERSIONS = ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages", "sagemaker:CreateModel"]


def group_policy(group_arn: str, accounts: Sequence[str]) -> dict[str, Any]:
    """Resource policy of a model package group with which accounts read its versions and make models of them.

    They cannot register, approve or delete: those stay with the account that owns the group.

    Args:
        group_arn: ARN of the group.
        accounts: account numbers of 12 digits.

    Raises:
        ValueError: an account number is not one, or there is none.
    """
    principals = _principals(accounts)
    versions = group_arn.replace(":model-package-group/", ":model-package/") + "/*"
    statements = [
        _statement("ReadGroup", principals, _READ_GROUP, group_arn),
        _statement("UseVersions", principals, _READ_VERSIONS, versions),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def key_statement(accounts: Sequence[str]) -> dict[str, Any]:
    """Statement for the policy of the KMS key that encrypts the models: accounts may decrypt, nothing else."""
    return _statement("DecryptModels", _principals(accounts), ["kms:Decrypt", "kms:DescribeKey"], "*")


def artifact_statement(bucket: str, prefix: str, accounts: Sequence[str]) -> dict[str, Any]:
    """Statement for the bucket's policy: accounts may read the objects below `prefix`."""
    resource = f"arn:aws:s3:::{bucket}/{prefix.strip('/')}/*"
    return _statement("ReadModels", _principals(accounts), ["s3:GetObject"], resource)


def share(aws: SageMakerHelper, group: str, accounts: Sequence[str]) -> dict[str, Any]:
    """Set a group's resource policy so that accounts can deploy its versions; return the policy."""
    arn = aws.sagemaker.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupArn"]
    policy = group_policy(arn, accounts)
    aws.sagemaker.put_model_package_group_policy(ModelPackageGroupName=group, ResourcePolicy=json.dumps(policy))
    return policy


def _principals(accounts: Sequence[str]) -> list[str]:
    if not accounts:
        raise ValueError("name at least one account to share with")
    for account in accounts:
        if not (len(account) == 12 and account.isdecimal()):
            raise ValueError(f"an AWS account number has 12 digits, got {account!r}")
    return [f"arn:aws:iam::{account}:root" for account in accounts]


def _statement(sid: str, principals: list[str], actions: list[str], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": principals}, "Action": actions, "Resource": resource}
