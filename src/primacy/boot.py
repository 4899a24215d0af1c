"""The boot parameters of a node: the few things that it must know before it can ask anybody.

Its id, its directory, the ledger, its own links and its key files; everything else, its peers included, comes
from the ledger. A parameter has one name in four places, and the first of these that has it wins:

    command line            --cluster-key=/etc/primacy/cluster.key     (or: --cluster-key PATH)
    kernel command line     primacy.cluster_key=/etc/primacy/cluster.key
    environment             PRIMACY_CLUSTER_KEY=/etc/primacy/cluster.key
    file (node.toml)        cluster_key = "/etc/primacy/cluster.key"

The file is `--file` (`primacy.file=`, `PRIMACY_FILE`), else `node.toml` in the directory, if there is one.
Every value carries its source, so that a command can show where it came from. A value that is shadowed by
another source is not looked at; an unknown name is an error in each place that is ours alone (the environment
is not).

Standard library only: the guardian imports this module. `retrieve` reads one file and nothing else of the
world.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from primacy import boot_values
from primacy.boot_values import LINKS_MAX, PORT_DEFAULT, RECORD_MB_MAX, RECORD_MB_MIN, STOP_GRACE_S_MAX
from primacy.boot_values import Link as Link
from primacy.errors import ConfigError

COMMAND_LINE = "command line"
KERNEL_COMMAND_LINE = "kernel command line"
ENVIRONMENT = "environment"
FILE = "file"
DEFAULT = "default"

KERNEL_COMMAND_LINE_PATH = "/proc/cmdline"
BOOT_VARIABLE = "PRIMACY_BOOT"
"""The environment variable in which the guardian hands the retrieved parameters to the agent, as JSON."""

_KERNEL_WORD = re.compile(r'(?<!\S)primacy\.([^\s=]+)=("[^"]*"|\S*)')


class Boot(NamedTuple):
    """The retrieved parameters; `sources` tells for each (by its outer name) where it was found.

    A command is kept as a shell would write it; an empty one, or an empty path of a device: there is none.
    """

    node: str
    directory: str
    ledger: str
    links: tuple[Link, ...]
    cluster_key: str
    authority: str
    certificate: str
    private_key: str
    stop_grace_s: float
    sources: dict[str, str]
    halt_command: str = ""
    reboot_command: str = ""
    os_commands: str = "run"
    watchdog: str = ""
    watchdog_timeout_s: int = 10
    watchdog_silence_s: float = 0.0
    record: str = ""
    record_mb: int = 1024

    def explain(self) -> list[tuple[str, str, str]]:
        """Return a row (name, value, source) for each parameter, in the order of the documentation."""
        return [(each.name, _text(getattr(self, each.field)), self.sources[each.name]) for each in PARAMETERS]

    def to_json(self) -> str:
        """Return what `from_json` takes, and what a command shows: {name: {"value": ..., "source": ...}}."""
        rows = {name: {"value": value, "source": source} for name, value, source in self.explain()}
        return json.dumps(rows, separators=(",", ":"))


class Parameter(NamedTuple):
    """One boot parameter: its outer name, its field in `Boot`, what it takes, and a line of documentation."""

    name: str
    field: str
    parse: Callable[[object, str], object]
    want: str
    default: str | None
    help: str

    @property
    def option(self) -> str:
        """The name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return "PRIMACY_" + self.name.upper()


_A_PATH = "a path, relative to the node's directory"
_NODE_WANT = "letters, digits, `.`, `_`, `-`, up to 63 (not `master` or `vice`)"
_LEDGER_WANT = "sqlite:///PATH, etcd://HOST:PORT,... or etcd+managed://..."
_LINKS_WANT = f"1 to {LINKS_MAX} different ADDRESS:PORT, joined by commas ([ADDRESS]:PORT for IPv6)"
_LINKS_DEFAULT = f"127.0.0.1:{PORT_DEFAULT},127.0.0.2:{PORT_DEFAULT}"
_STOP_GRACE_WANT = f"seconds, above 0, up to {STOP_GRACE_S_MAX:g}"
_COMMAND_WANT = "a list of arguments, the program first; in one text: as a shell would read it"
_TIMEOUT_WANT = f"whole seconds, 1 to {STOP_GRACE_S_MAX:g}"
_SILENCE_WANT = f"seconds, up to {STOP_GRACE_S_MAX:g}; 0: 20 beats, at least 1 s"
_RECORD_MB_WANT = f"{RECORD_MB_MIN} to {RECORD_MB_MAX}"
_DIRECTORY_HELP = "The directory in which the node keeps its files."

PARAMETERS = (  # the directory is the first: the paths after it are relative to it
    Parameter("dir", "directory", boot_values.directory, "a path", ".primacy", _DIRECTORY_HELP),
    Parameter("node", "node", boot_values.node, _NODE_WANT, None, "This node's id, as in the configuration table."),
    Parameter(
        "ledger", "ledger", boot_values.ledger, _LEDGER_WANT, None, "Where configuration and mastership are kept."
    ),
    Parameter(
        "links", "links", boot_values.links, _LINKS_WANT, _LINKS_DEFAULT, "The node's addresses; first port of each."
    ),
    Parameter("cluster_key", "cluster_key", boot_values.path, _A_PATH, "cluster.key", "The key that protects hello."),
    Parameter("authority", "authority", boot_values.path, _A_PATH, "ca.pem", "The certificates that are trusted."),
    Parameter("certificate", "certificate", boot_values.path, _A_PATH, "cert.pem", "The certificate of this node."),
    Parameter("private_key", "private_key", boot_values.path, _A_PATH, "key.pem", "The key of that certificate."),
    Parameter(
        "stop_grace_s", "stop_grace_s", boot_values.stop_grace_s, _STOP_GRACE_WANT, "30", "Limit of an orderly stop."
    ),
    Parameter(
        "halt_command", "halt_command", boot_values.command, _COMMAND_WANT, "",
        "What halts the machine; none: systemd, where it runs.",
    ),
    Parameter(
        "reboot_command", "reboot_command", boot_values.command, _COMMAND_WANT, "",
        "What reboots the machine; none: systemd, where it runs.",
    ),
    Parameter(
        "os_commands", "os_commands", boot_values.os_commands, "run or print", "run",
        "print: commands that halt or reboot are written to the node's log, and not run.",
    ),
    Parameter(
        "watchdog", "watchdog", boot_values.device, "the path of a watchdog device", "",
        "The device that resets the machine when it is not fed; none: no watchdog.",
    ),
    Parameter(
        "watchdog_timeout_s", "watchdog_timeout_s", boot_values.watchdog_timeout_s, _TIMEOUT_WANT, "10",
        "How long the device waits for food.",
    ),
    Parameter(
        "watchdog_silence_s", "watchdog_silence_s", boot_values.watchdog_silence_s, _SILENCE_WANT, "0",
        "How long the agent may be silent before the device is fed no more.",
    ),
    Parameter(
        "record", "record", boot_values.device, f"{_A_PATH}, of a directory", "",
        "Where the agent records all inputs of its machines, for a later check; none: nowhere.",
    ),
    Parameter(
        "record_mb", "record_mb", boot_values.record_mb, _RECORD_MB_WANT, "1024",
        "How many MiB of records of this node are kept there; the oldest files go first.",
    ),
)  # fmt: skip

_FILE_PARAMETER = Parameter(
    "file", "file", boot_values.directory, "a path", None, "The file of boot parameters."
)
_NAMES = {each.name: each for each in (*PARAMETERS, _FILE_PARAMETER)}


class _Source(NamedTuple):
    name: str
    values: Mapping[str, object]
    where: Callable[[Parameter], str]


def retrieve(
    argv: Sequence[str], environ: Mapping[str, str], cmdline_text: str, file: str | None = None
) -> Boot:
    """Return the parameters from `argv` (options only), the kernel's command line, `environ` and the file.

    `file` replaces the path that the other sources give. Raises an `ExceptionGroup` with one `ConfigError`
    for each wrong value, unknown name and missing parameter.
    """
    errors: list[ConfigError] = []
    sources = [
        _Source(COMMAND_LINE, _from_argv(argv, errors), lambda each: each.option),
        _Source(KERNEL_COMMAND_LINE, _from_kernel(cmdline_text, errors), lambda each: f"primacy.{each.name}"),
        _Source(
            ENVIRONMENT,
            {name: environ[each.variable] for name, each in _NAMES.items() if each.variable in environ},
            lambda each: each.variable,
        ),
    ]
    path, must_exist = _file_path(sources, file)
    sources.append(_Source(FILE, _from_file(path, must_exist, errors), lambda each: f"{path}: {each.name}"))
    directory = os.path.abspath(".primacy")
    found: dict[str, object] = {}
    origins: dict[str, str] = {}
    for each in PARAMETERS:
        source = next((source for source in sources if each.name in source.values), None)
        if source is None and each.default is None:
            errors.append(ConfigError(each.name, "nothing", f"wanted: {each.want} ({_places(each, path)})"))
            continue
        value = each.default if source is None else source.values[each.name]
        origins[each.name] = DEFAULT if source is None else _origin(source, each, path)
        try:
            found[each.field] = each.parse(value, directory)
        except ValueError:
            assert source is not None, f"the default of {each.name} is wrong"
            errors.append(ConfigError(source.where(each), repr(value), f"wanted: {each.want}"))
        if each.name == "dir" and "directory" in found:
            directory = str(found["directory"])
    if errors:
        raise ExceptionGroup("boot parameters", errors)
    return Boot(**found, sources=origins)  # type: ignore[arg-type]  # the table pairs each field with its parser


def from_json(text: str) -> Boot:
    """Return the `Boot` whose `to_json` gave this text: how an agent learns what its guardian retrieved."""
    rows = json.loads(text)
    found = {each.field: each.parse(rows[each.name]["value"], "/") for each in PARAMETERS}
    sources = {each.name: str(rows[each.name]["source"]) for each in PARAMETERS}
    return Boot(**found, sources=sources)  # type: ignore[arg-type]  # as above


def kernel_command_line(path: str = KERNEL_COMMAND_LINE_PATH) -> str:
    """Return the kernel's command line; empty where the system does not show it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as opened:
            return opened.read()
    except OSError:
        return ""


def _from_argv(argv: Sequence[str], errors: list[ConfigError]) -> dict[str, object]:
    values: dict[str, object] = {}
    options = {each.option: name for name, each in _NAMES.items()}
    words = iter(argv)
    for word in words:
        option, separator, value = word.partition("=")
        if option not in options:
            errors.append(ConfigError(COMMAND_LINE, repr(word), f"wanted: one of {', '.join(options)}"))
            continue
        if not separator:
            following = next(words, None)
            if following is None:
                errors.append(ConfigError(option, "nothing", f"wanted: {_NAMES[options[option]].want}"))
                continue
            value = following
        values[options[option]] = value
    return values


def _from_kernel(text: str, errors: list[ConfigError]) -> dict[str, object]:
    values: dict[str, object] = {}
    for found in _KERNEL_WORD.finditer(text):
        name = found[1].replace("-", "_")
        if name not in _NAMES:
            want = ", ".join(f"primacy.{each}" for each in _NAMES)
            errors.append(ConfigError(KERNEL_COMMAND_LINE, repr(found[0]), f"wanted: one of {want}"))
        else:
            values[name] = found[2].strip('"')
    return values


def _file_path(sources: Sequence[_Source], file: str | None) -> tuple[str, bool]:
    """Return the path of the file, and whether somebody has named it (then it must be there)."""
    named = file or next((source.values["file"] for source in sources if "file" in source.values), None)
    if named is not None:
        return os.path.abspath(str(named)), True
    directory = next((source.values["dir"] for source in sources if "dir" in source.values), ".primacy")
    return os.path.join(os.path.abspath(str(directory)), "node.toml"), False


def _from_file(path: str, must_exist: bool, errors: list[ConfigError]) -> dict[str, object]:
    try:
        with open(path, "rb") as opened:
            import tomllib  # here, because a guardian without a file need not carry it

            table = tomllib.load(opened)
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            errors.append(ConfigError(path, "no such file", "wanted: a file of boot parameters"))
        return {}
    except (OSError, ValueError) as error:  # ValueError: not TOML, not UTF-8
        errors.append(ConfigError(path, str(error), "wanted: a readable file of boot parameters, in TOML"))
        return {}
    known = [each.name for each in PARAMETERS]
    for name in table.keys() - set(known):
        errors.append(ConfigError(f"{path}: {name}", "an unknown name", f"wanted: one of {', '.join(known)}"))
    return {name: table[name] for name in known if name in table}


def _origin(source: _Source, parameter: Parameter, path: str) -> str:
    if source.name == FILE:
        return f"{FILE} {path}"
    return f"{ENVIRONMENT} {parameter.variable}" if source.name == ENVIRONMENT else source.name


def _places(parameter: Parameter, path: str) -> str:
    name = parameter.name
    return f"{parameter.option}, primacy.{name}=, {parameter.variable}, or `{name}` in {path}"


def _text(value: object) -> str:
    return ",".join(str(each) for each in value) if isinstance(value, tuple) else str(value)
