"""`primacy names ...`: the naming service."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from primacy.cli import common
from primacy.cli.common import deadline_option, directory_option, json_option, print_json, say
from primacy.errors import ConfigError

if TYPE_CHECKING:
    from primacy.client import NameEntry, Names
    from primacy.machines.naming_files import Parsed

T = TypeVar("T")


@click.group()
def names() -> None:
    """The naming service: hierarchical names (a/b/c) bound to endpoints and attributes.

    \b
    Exit codes: 0 done; 4 no primary in time; 5 no answer in time; 7 the name is not bound, is bound
    already, or cannot be a name.
    """


def _binding(function: Any) -> Any:
    """Add what `bind` and `rebind` share."""
    for decorator in (
        json_option,
        deadline_option(30.0),
        directory_option,
        click.option("--node", metavar="ID", help="The binding ends when this node leaves."),
        click.argument("attributes", nargs=-1, metavar="[KEY=VALUE]..."),
        click.argument("endpoint"),
        click.argument("name"),
    ):
        function = decorator(function)
    return function


@names.command()
@_binding
def bind(**options: Any) -> int:
    """Bind a NAME that is not bound to an ENDPOINT, with attributes."""
    return _bind("bind", **options)


@names.command()
@_binding
def rebind(**options: Any) -> int:
    """Bind a NAME to an ENDPOINT, whatever it is bound to."""
    return _bind("rebind", **options)


@names.command()
@click.argument("name")
@directory_option
@deadline_option(30.0)
@json_option
def unbind(name: str, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Unbind a NAME."""
    version = _run(directory, deadline_s, lambda service: service.unbind(name, deadline_s=deadline_s))
    _done(f"{name} is unbound", {"name": name, "version": version}, as_json)
    return common.OK


@names.command()
@click.argument("name")
@click.option("--confirm", is_flag=True, help="Trust no clock.")
@directory_option
@deadline_option(30.0)
@json_option
def resolve(name: str, confirm: bool, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Print what a NAME is bound to."""
    entry = _run(
        directory, deadline_s, lambda service: service.resolve(name, confirm=confirm, deadline_s=deadline_s)
    )
    if as_json:
        print_json(plain(entry))
    else:
        click.echo(line(entry))
    return common.OK


@names.command(name="list")
@click.argument("prefix", default="")
@click.option("-r", "--recursive", is_flag=True, help="All names below, not only the next level.")
@directory_option
@deadline_option(30.0)
@json_option
def list_(prefix: str, recursive: bool, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Print the names below PREFIX."""
    entries = _run(
        directory, deadline_s, lambda service: service.list(prefix, recursive, deadline_s=deadline_s)
    )
    if as_json:
        print_json([plain(entry) for entry in entries])
    elif entries:
        click.echo("\n".join(line(entry) for entry in entries))
    return common.OK


@names.command()
@click.argument("prefix", default="")
@click.option("--new", is_flag=True, help="Leave out what is bound already.")
@directory_option
@deadline_option(30.0)
@json_option
def watch(prefix: str, new: bool, directory: str | None, deadline_s: float, as_json: bool) -> int:
    """Print every change of PREFIX and below until Ctrl-C; none is missed across a failover.

    With --json each change is one line: {name, entry, before}; null: not bound.
    """
    with contextlib.suppress(KeyboardInterrupt):
        common.run_async(_watch(directory, deadline_s, prefix, not new, as_json))
    return common.OK


@names.command(name="import")
@click.argument("file", type=click.Path())
@click.option(
    "--as", "form", type=click.Choice(["services", "hosts"]), help="The file's form.  [default: seen from it]"
)
@click.option("--prefix", metavar="NAME", help="Bind below this name.  [default: services or hosts]")
@directory_option
@deadline_option(30.0)
@json_option
def import_(
    file: str, form: str | None, prefix: str | None, directory: str | None, deadline_s: float, as_json: bool
) -> int:
    """Bind the names of a FILE in the form of /etc/services or /etc/hosts, replacing older bindings.

    \b
    http  80/tcp  www     services/http/tcp  to  :80         with aliases=www
    10.0.0.1  db1  db     hosts/db1          to  10.0.0.1    with aliases=db
    """
    parsed = read_names(file, form, prefix)
    count = _run(
        directory,
        deadline_s,
        lambda service: service.bind_many(parsed.entries, replace=True, deadline_s=deadline_s),
    )
    for problem in parsed.problems:
        say(f"left out: {problem}")
    _done(f"{count} names bound", {"bound": count, "left_out": parsed.problems}, as_json)
    return common.OK


def read_names(file: str, form: str | None = None, prefix: str | None = None) -> Parsed:
    """Return the entries of a file; ConfigError when there are none. Its form is that in which more can be read."""
    from primacy.machines.naming_files import parse_hosts, parse_services

    try:
        text = Path(file).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(file, error.strerror or str(error), "want a readable file") from error
    hosts, services = parse_hosts(text, prefix or "hosts"), parse_services(text, prefix or "services")
    if form is None:
        form = "hosts" if len(hosts.entries) > len(services.entries) else "services"
    parsed = hosts if form == "hosts" else services
    if not parsed.entries:
        raise ConfigError(file, "no line that could be read", "want the form of /etc/services or /etc/hosts")
    return parsed


def plain(entry: NameEntry) -> dict[str, Any]:
    """Return an entry as what `--json` prints."""
    return {
        "name": entry.name,
        "endpoint": entry.endpoint,
        "attributes": entry.attributes,
        "lifetime": entry.lifetime,
        "version": entry.version,
        "directory": entry.directory,
    }


def line(entry: NameEntry) -> str:
    """Return an entry as one line: name, endpoint, attributes."""
    if not entry.version:
        return f"{entry.name}/"
    name = f"{entry.name}/" if entry.directory else entry.name
    words = [name, entry.endpoint, *(f"{key}={value}" for key, value in entry.attributes.items())]
    return "  ".join([*words, *([f"({entry.lifetime})"] if entry.lifetime else [])])


def _bind(
    verb: str,
    name: str,
    endpoint: str,
    attributes: tuple[str, ...],
    node: str | None,
    directory: str | None,
    deadline_s: float,
    as_json: bool,
) -> int:
    rows: dict[str, str] = {}
    for word in attributes:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError("attributes", repr(word), "want KEY=VALUE")
        rows[key] = value
    lifetime = f"node:{node}" if node else None

    async def run(service: Names) -> int:
        bound: int = await getattr(service, verb)(name, endpoint, rows, lifetime, deadline_s=deadline_s)
        return bound

    version = _run(directory, deadline_s, run)
    _done(f"{name} is bound to {endpoint}", {"name": name, "version": version}, as_json)
    return common.OK


def _run(directory: str | None, deadline_s: float, ask: Callable[[Names], Awaitable[T]]) -> T:
    async def run() -> T:
        async with common.connected(directory, deadline_s) as cluster:
            return await ask(cluster.names)

    return common.run_async(run())


async def _watch(directory: str | None, deadline_s: float, prefix: str, current: bool, as_json: bool) -> None:
    import json

    async with common.connected(directory, deadline_s) as cluster:
        async for change in cluster.names.watch(prefix, current=current):
            if as_json:
                entry = plain(change.entry) if change.entry else None
                before = plain(change.before) if change.before else None
                click.echo(json.dumps({"name": change.name, "entry": entry, "before": before}))
            else:
                click.echo(line(change.entry) if change.entry else f"{change.name}  unbound")


def _done(sentence: str, result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        say(sentence)
