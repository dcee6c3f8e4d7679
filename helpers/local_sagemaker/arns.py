"""Amazon Resource Names of the local account, and the words that SageMaker uses for its resources."""

from helpers.local_sagemaker import errors

# Signatures are not checked: any key will do.
ACCESS_KEY = "local"
REGION = "us-east-1"
ACCOUNT = "111122223333"
ROLE_NAME = "CourseExecutionRole"
# The role that AWS's own SDK tests and many notebooks name; it can do what the execution role can.
OTHER_ROLE_NAME = "SageMakerRole"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE_NAME}"
DEFAULT_BUCKET = f"sagemaker-{REGION}-{ACCOUNT}"


def arn(resource: str, name: str) -> str:
    """The ARN of a SageMaker resource, such as `arn("training-job", "xgb")`."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}/{name}"


def name_of(resource: str, name_or_arn: str) -> str:
    """The name of a SageMaker resource of this account, such as `name_of("model-package-group", "arn:aws:...")`.

    Raises:
        AwsError: `ValidationException`; the ARN is of another region, account or kind of resource.
    """
    if not name_or_arn.startswith("arn:"):
        return name_or_arn
    if name_or_arn.split(":")[3] != REGION:
        raise errors.validation(f"ARN should be scoped to correct region: {REGION}")
    prefix = arn(resource, "")
    if not name_or_arn.startswith(prefix):
        raise errors.validation(f"{name_or_arn} is not the ARN of a {resource} of the account {ACCOUNT}.")
    return name_or_arn.removeprefix(prefix)
