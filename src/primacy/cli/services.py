"""`primacy call`: an operation or a query of a service, with arguments as a shell can write them."""

from __future__ import annotations

import json
from typing import Any

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option
from primacy.errors import ConfigError, Refused


@click.command()
@click.argument("service")
@click.argument("operation")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--query", is_flag=True, help="It is a query: do not try it as an operation first.")
@click.option("--confirm", is_flag=True, help="A query that trusts no clock.")
@directory_option
@deadline_option(30.0)
@json_option
def call(
    service: str,
    operation: str,
    arguments: tuple[str, ...],
    query: bool,
    confirm: bool,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    """Call an OPERATION (or a query) of a SERVICE and print its result as JSON.

    Each VALUE is read as JSON where it is JSON (3, true, [1,2], "text"), else as text. An operation is
    executed exactly once, whatever happens to the servers meanwhile.

    \b
    Example:    primacy call inventory add article=bolt count=3
    Exit codes: 0 done; 3 no such operation or wrong arguments; 4 no primary in time (nothing was done);
    5 no answer in time (the message says whether it may have been done); 6 a limit is reached, or the
    session has expired; 7 the operation itself raised an error.
    """
    found = common.run_async(
        _call(directory, service, operation, pairs(arguments), query or confirm, confirm, deadline_s)
    )
    if as_json or not isinstance(found, str):
        common.print_json(found)
    else:
        click.echo(found)
    return common.OK


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments in KEY=VALUE words; a value is JSON where it can be read as such, else text."""
    arguments: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError("arguments", repr(word), "want KEY=VALUE")
        if key in arguments:
            raise ConfigError("arguments", f"{key} twice", "want each key once")
        try:
            arguments[key] = json.loads(text)
        except ValueError:
            arguments[key] = text
    return arguments


async def _call(
    directory: str | None,
    service: str,
    operation: str,
    arguments: dict[str, Any],
    query: bool,
    confirm: bool,
    deadline_s: float,
) -> Any:
    async with common.connected(directory, deadline_s) as cluster:
        if query:
            return await cluster.query(
                service, operation, deadline_s=deadline_s, confirm=confirm, **arguments
            )
        try:
            return await cluster.call(service, operation, deadline_s=deadline_s, **arguments)
        except Refused as as_operation:  # nothing was executed: it may be a query
            try:
                return await cluster.query(service, operation, deadline_s=deadline_s, **arguments)
            except Refused as as_query:
                raise Refused(list(dict.fromkeys([*as_operation.reasons, *as_query.reasons]))) from None
