"""`course cleanup`: lists, then deletes, everything that would still be billed."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from helpers.cleanup import delete, find
from helpers.session import RESOURCE_PREFIX, connect


def cleanup(
    yes: Annotated[bool, typer.Option("--yes", help="delete without asking")] = False,
) -> None:
    """List what the course's labs left on SageMaker, then delete it."""
    console = Console()
    aws = connect()
    resources = find(aws, prefix=f"{RESOURCE_PREFIX}-")
    if not resources:
        console.print(f"nothing is left on {aws.backend} in {aws.region}")
        return
    table = Table("kind", "name", "billed")
    for resource in resources:
        table.add_row(resource.kind, resource.name, "yes" if resource.billed else "")
    console.print(table)
    if not yes:
        typer.confirm(f"delete these {len(resources)} on {aws.backend} in {aws.region}?", abort=True)
    delete(aws, resources)
    console.print(f"deleted {len(resources)}")
