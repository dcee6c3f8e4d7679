"""One visit of a page: what it asks for, and how it reads the server, which is by the operations that clients call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from helpers.local_sagemaker import errors, model
from helpers.local_sagemaker.operations import OPERATIONS

if TYPE_CHECKING:
    from helpers.local_sagemaker.app import Server

PAGE_SIZE = 50


class MissingError(Exception):
    """What the address names does not exist; the message says what that is."""


class RefusedError(Exception):
    """The address asks for something that cannot be; the message says why."""


@dataclass
class Visit:
    """What a view is given.

    Args:
        server: that is looked at.
        path: the parts of the address that name something.
        query: the rest of the address, `?name=value`.
    """

    server: Server
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    def has(self, operation: str) -> bool:
        """Whether this server answers an operation of SageMaker."""
        return operation in OPERATIONS

    def read(self, operation: str, **request: object) -> dict:
        """What an operation of SageMaker answers; times are epoch seconds.

        Raises:
            RefusedError: the operation refuses the request, or is not here.
        """
        if operation not in OPERATIONS:
            raise RefusedError(f"{operation} is not available in the local SageMaker.")
        shape = model.service()["operations"][operation]["input"]["shape"]
        try:
            answer = OPERATIONS[operation](self.server, model.validate(shape, request))
        except errors.AwsError as error:
            raise RefusedError(error.message) from error
        return json.loads(model.serialize(operation, answer))

    def require(self, operation: str, **request: object) -> dict:
        """What an operation says about the one thing that the page is about.

        Raises:
            MissingError: there is no such thing.
        """
        try:
            return self.read(operation, **request)
        except RefusedError as error:
            raise MissingError(str(error)) from error

    def all(self, operation: str, member: str, **request: object) -> Iterator[dict]:
        """What a List operation has on all of its pages; nothing when it is not here."""
        while operation in OPERATIONS:
            answer = self.read(operation, **request)
            yield from answer.get(member, [])
            if "NextToken" not in answer:
                return
            request["NextToken"] = answer["NextToken"]

    def one_page(
        self, operation: str, member: str, filters: Mapping[str, str] | None = None, **request: object
    ) -> dict:
        """The page of a List operation that the address asks for: `rows`, `next_token` and the `filters` in force.

        Args:
            operation: such as ListTrainingJobs.
            member: of its answer that holds the rows.
            filters: members of the request by the names that they have in the address.
            request: further members.
        """
        filters = filters or {}
        chosen = {name: self.query[name].strip() for name in filters if self.query.get(name, "").strip()}
        request = {"MaxResults": PAGE_SIZE} | request | {filters[name]: value for name, value in chosen.items()}
        if token := self.query.get("token"):
            request["NextToken"] = token
        answer = self.read(operation, **request)
        return {"rows": answer.get(member, []), "next_token": answer.get("NextToken"), "filters": chosen}


class Page(NamedTuple):
    """A page: its address below `/console`, its template, and the view that gives what the template shows."""

    path: str
    template: str
    view: Callable[[Visit], dict]


PAGES: list[Page] = []


def page(path: str, template: str) -> Callable[[Callable[[Visit], dict]], Callable[[Visit], dict]]:
    """Registers a view, such as `@page("/endpoints/{name}", "endpoint.html")`."""

    def register(view: Callable[[Visit], dict]) -> Callable[[Visit], dict]:
        PAGES.append(Page(path, template, view))
        return view

    return register
