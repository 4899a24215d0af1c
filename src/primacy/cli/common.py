"""What all commands share: their options, what becomes of an error, and how output is written.

Each error of the project has one exit code, in one table. A command writes its result to standard output,
everything else (progress, what went wrong) to standard error; with `--json` the result, an error's
included, is one JSON value.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from primacy import errors

if TYPE_CHECKING:
    from primacy.client import Cluster

OK, FAILED, USAGE, REFUSED, NO_PRIMARY, DEADLINE, BUSY, RAISED = range(8)
CONFIGURATION = 78
INTERRUPTED = 130

CODES: dict[type[errors.PrimacyError], int] = {
    errors.ConfigError: CONFIGURATION,
    errors.Refused: REFUSED,
    errors.NoPrimary: NO_PRIMARY,
    errors.Deadline: DEADLINE,
    errors.Busy: BUSY,
    errors.SessionExpired: BUSY,
    errors.OperationFailed: RAISED,
    errors.Unavailable: NO_PRIMARY,
    errors.Uncertain: DEADLINE,
}
"""Any other error of the project is FAILED."""

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Exit(Exception):
    """A command ends with a code and has said why already."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def directory_option(function: F) -> F:
    """Add `--dir`."""
    text = "The cluster's directory (else $PRIMACY_DIR, else ./.primacy)."
    return click.option("--dir", "directory", metavar="DIR", type=click.Path(file_okay=False), help=text)(
        function
    )


def json_option(function: F) -> F:
    """Add `--json`."""
    text = "Print the result as one JSON value."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def deadline_option(seconds: float) -> Callable[[F], F]:
    """Add `--deadline` with that default."""
    return click.option(
        "--deadline",
        "deadline_s",
        metavar="S",
        type=click.FloatRange(0.1, 3600),
        default=seconds,
        show_default=True,
        help="How long to wait for the answer.",
    )


def exit_code(error: errors.PrimacyError) -> int:
    """Return the exit code of an error."""
    return next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), FAILED)


def as_plain(error: errors.PrimacyError) -> dict[str, Any]:
    """Return an error as what `--json` prints."""
    plain: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if isinstance(error, errors.Refused):
        plain["reasons"] = error.reasons
    if isinstance(error, errors.Deadline):
        plain["maybe_applied"] = error.maybe_applied
    return plain


def sentences(error: errors.PrimacyError) -> list[str]:
    """Return an error as the lines that an operator reads."""
    if isinstance(error, errors.Refused):
        return ["refused:", *(f"  - {reason}" for reason in error.reasons)]
    if isinstance(error, errors.Deadline):
        return [f"{error} ({'it may have been done' if error.maybe_applied else 'nothing was done'})"]
    return [str(error)]


def run(command: click.Command, words: Sequence[str]) -> int:
    """Run a command with these words and return the exit code; errors are printed, never raised."""
    as_json = "--json" in words
    try:
        result = command.main(args=list(words), prog_name="primacy", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except Exit as error:
        return error.code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except errors.PrimacyError as error:
        _tell(error, as_json)
        return exit_code(error)
    except BrokenPipeError:
        # else the interpreter complains at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    return result if isinstance(result, int) else OK


def fail(code: int, lines: Sequence[str], as_json: bool, **fields: Any) -> NoReturn:
    """Print why a command has not done what it was asked, and end it with a code."""
    if as_json:
        print_json({"error": lines[0] if lines else "", "message": "\n".join(lines), **fields})
    for line in lines:
        say(line)
    raise Exit(code)


def say(line: str) -> None:
    """Write a line for people, to standard error."""
    click.echo(line, err=True)


def print_json(value: Any) -> None:
    """Write a value as JSON: indented for a terminal, one line for a program."""
    click.echo(json.dumps(value, indent=2 if is_terminal() else None, ensure_ascii=False, default=str))


def is_terminal() -> bool:
    """Is standard output a terminal that people read?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own."""
    import asyncio  # here, because the help needs no loop

    with asyncio.Runner() as runner:
        return runner.run(coroutine)


@contextlib.asynccontextmanager
async def connected(directory: str | os.PathLike[str] | None, deadline_s: float) -> AsyncIterator[Cluster]:
    """Yield the cluster of a directory, connected to at least one agent.

    NoPrimary at once, not after the deadline, when it is a cluster of this machine and no node of it runs.
    """
    from primacy.client import connect
    from primacy.local import layout, nodes

    here = layout.find(directory)
    if here.exists and not nodes.running(here):
        raise errors.NoPrimary(f"no node of {here.root} runs: `primacy up` starts them")
    async with connect(directory, deadline_s=deadline_s) as cluster:
        yield cluster


def node_named(word: str, master: str, vice: str) -> str:
    """Return the node id that a NODE argument means; NoPrimary when the role is nobody's at the moment."""
    if word not in ("master", "vice"):
        return word
    found = master if word == "master" else vice
    if not found:
        raise errors.NoPrimary(f"there is no {word} at the moment; see `primacy status`")
    return found


def _tell(error: errors.PrimacyError, as_json: bool) -> None:
    if as_json:
        print_json(as_plain(error))
    for line in sentences(error):
        say(f"primacy: {line}" if not line.startswith("  ") else line)
