"""Amazon Resource Names of the local account, and the words that SageMaker uses for its resources."""

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
