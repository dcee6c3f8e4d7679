"""Kinds of resources: how each is called in ARNs and in messages; its tags and its search follow from that.

A new kind is added by its own module, in one line beside its operations:

    KIND = kinds.register("ModelPackageGroup", "model-package-group")

Its records are in the store under that kind, by the name that follows `model-package-group/` in the ARN, with the ARN
in the member `ModelPackageGroupArn`. From then on AddTags, ListTags and DeleteTags know it; `server.add_tags(arn, ...)`
takes the Tags of its Create operation, and deleting it from the store removes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from helpers.local_sagemaker.arns import ACCOUNT, REGION, arn
from helpers.local_sagemaker.errors import AwsError

VALIDATION, IN_USE, NOT_FOUND = "ValidationException", "ResourceInUse", "ResourceNotFound"


@dataclass(frozen=True)
class Kind:
    """How AWS speaks of a kind of resource.

    Attributes:
        name: in the store and in botocore's members, such as `EndpointConfig`.
        segment: of its ARNs, such as `endpoint-config`.
        words: in messages, such as `endpoint configuration`.
        taken: error code and message for a name that exists; `{words}`, `{Words}`, `{name}` and `{arn}` are put in.
        missing: the same for a name that does not.
    """

    name: str
    segment: str
    words: str
    taken: tuple[str, str]
    missing: tuple[str, str]

    def arn(self, name: str) -> str:
        """The ARN of the resource with this name."""
        return arn(self.segment, name)

    def already_exists(self, name: str) -> AwsError:
        """The error for a name that is taken."""
        return self._error(self.taken, name)

    def does_not_exist(self, name: str) -> AwsError:
        """The error for a name that nothing has."""
        return self._error(self.missing, name)

    def _error(self, worded: tuple[str, str], name: str) -> AwsError:
        code, message = worded
        words = {"words": self.words, "Words": self.words.capitalize()}
        return AwsError(code, message.format(name=name, arn=self.arn(name), **words))


KINDS: dict[str, Kind] = {}
_TAKEN = (VALIDATION, 'Cannot create already existing {words} "{arn}".')
_MISSING = (VALIDATION, 'Could not find {words} "{arn}".')
JOB_TAKEN = (
    IN_USE,
    "{Words} names must be unique within an AWS account and region, and a {words} with this name already exists "
    "({arn})",
)
JOB_MISSING = (VALIDATION, "Could not find requested job with name: {name}")


def register(
    name: str,
    segment: str,
    words: str | None = None,
    *,
    taken: tuple[str, str] = _TAKEN,
    missing: tuple[str, str] = _MISSING,
) -> str:
    """Makes a kind known, and returns its name; see `Kind` for the arguments.

    `words` are those of the ARN's segment by default.
    """
    KINDS[name] = Kind(name, segment, words or segment.replace("-", " "), taken, missing)
    return name


def of(name: str) -> Kind:
    """The kind of this name; one that nobody registered has the name itself for its words."""
    return KINDS.get(name) or Kind(name, name.lower(), name, _TAKEN, _MISSING)


def parse(resource_arn: str) -> tuple[Kind, str] | None:
    """Kind and name of the resource that an ARN of this account names, None where its kind is not known."""
    prefix, _, resource = resource_arn.partition(f":{ACCOUNT}:")
    segment, _, name = resource.partition("/")
    kind = next((kind for kind in KINDS.values() if kind.segment == segment), None)
    return (kind, name) if kind and name and prefix == f"arn:aws:sagemaker:{REGION}" else None
