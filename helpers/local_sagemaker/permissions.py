"""Execution roles, as CreateTrainingJob and its like check them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from helpers.local_sagemaker import arns, errors

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server


def require_role(server: Server, role_arn: str) -> None:
    """Checks that SageMaker could assume a role.

    Raises:
        AwsError: `ValidationException`; the role is another account's, or does not exist.
    """
    if role_arn == arns.ROLE_ARN:
        return
    account, _, resource = role_arn.split(":", 4)[4].partition(":")
    if account != arns.ACCOUNT:
        raise errors.validation(
            f"RoleArn: Cross-account pass role is not allowed. (account {account}, role {role_arn})"
        )
    try:
        server.client("iam").get_role(RoleName=resource.rpartition("/")[2])
    except ClientError as error:
        raise errors.validation(
            f"Could not assume role {role_arn}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role."
        ) from error
