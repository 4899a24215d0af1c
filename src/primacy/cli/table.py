"""`primacy config`: the configuration table."""

from __future__ import annotations

from pathlib import Path

import click

from primacy.cli import common
from primacy.cli.common import json_option, print_json


@click.group()
def config() -> None:
    """The configuration table (cluster.toml)."""


@config.command()
@click.argument("file", type=click.Path())
@json_option
def check(file: str, as_json: bool) -> int:
    """Check a table in a TOML FILE as a whole; nothing is changed.

    Exit codes: 0 it may be applied; 78 it may not: the message names the place, what stands there and what
    may.
    """
    from primacy import config as tables

    table = tables.load(Path(file))
    if as_json:
        print_json({"file": file, "nodes": sorted(table.nodes), "services": sorted(table.services),
                    "profile": table.cluster.profile})  # fmt: skip
    else:
        nodes, services = len(table.nodes), len(table.services)
        own = "its own timing" if table.timing is not None else f"profile {table.cluster.profile}"
        click.echo(f"{file}: correct: {nodes} nodes, {services} services, {own}")
    return common.OK
