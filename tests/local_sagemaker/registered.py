"""Model package groups and packages for the tests."""

from collections.abc import Callable

import deployed
from botocore.client import BaseClient


class Registry:
    """One server's registry: names are made where a test gives none."""

    def __init__(self, sm: BaseClient, s3: BaseClient, bucket: str, unique: Callable[[str], str]) -> None:
        self.sm, self.s3, self.bucket, self.unique = sm, s3, bucket, unique

    def group(self, **members: object) -> str:
        """A new group's name."""
        name = self.unique("group")
        self.sm.create_model_package_group(ModelPackageGroupName=name, **members)
        return name

    def container(self, name: str | None = None, **members: object) -> dict:
        """A container whose model answers with a name."""
        name = name or self.unique("packed")
        files = {"name.txt": name, "code/inference.py": deployed.OBEDIENT}
        self.s3.put_object(Bucket=self.bucket, Key=f"{name}/model.tar.gz", Body=deployed.archive(files))
        return {"Image": deployed.SKLEARN, "ModelDataUrl": f"s3://{self.bucket}/{name}/model.tar.gz", **members}

    def specification(self, *containers: dict) -> dict:
        """An InferenceSpecification; by default of one container."""
        return {
            "Containers": list(containers or [self.container()]),
            "SupportedContentTypes": ["application/json"],
            "SupportedResponseMIMETypes": ["application/json"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
            "SupportedTransformInstanceTypes": ["ml.m5.large"],
        }

    def version(self, group: str, **members: object) -> str:
        """The ARN of a new version."""
        if "SourceUri" not in members:
            members = {"InferenceSpecification": self.specification()} | members
        return self.sm.create_model_package(ModelPackageGroupName=group, **members)["ModelPackageArn"]

    def describe(self, arn: str) -> dict:
        """DescribeModelPackage."""
        return self.sm.describe_model_package(ModelPackageName=arn)
