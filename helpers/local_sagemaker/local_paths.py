"""Paths of a request that name what a job sees."""

from helpers.local_sagemaker import errors
from helpers.local_sagemaker.sandbox import ML


def is_inside(path: str, below: str = ML) -> bool:
    """Whether a path that the job sees lies below a folder, without leaving it by `..`."""
    return f"{path}/".startswith(f"{below}/") and ".." not in path.split("/")


def require_inside(path: str, member: str, below: str = ML) -> None:
    """Checks a path of a request that the job sees below `/opt/ml`.

    Raises:
        AwsError: `ValidationException`; it is elsewhere, or leads elsewhere by `..`.
    """
    if not is_inside(path, below):
        raise errors.validation(f"{member} must begin with {below}, got {path!r}")
