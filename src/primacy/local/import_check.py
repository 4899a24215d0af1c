"""Can the services' code be imported? Found out before a cluster is made or started, by a process of its own.

The command that starts a cluster must neither run an author's module in itself nor let its error drown in
three nodes' logs. What is wrong is a ConfigError with the author's traceback.

    python -m primacy.local.import_check        (standard input: {service: [target, path, local]})

Exit code 78: it cannot, and standard output says why.
"""

from __future__ import annotations

import asyncio
import json
import sys

from primacy.config import Service
from primacy.errors import ConfigError

LIMIT_S = 20.0
EXIT_CONFIG = 78
_LOCAL = ("a LocalService", "--local, or local = true")


async def check(services: dict[str, Service]) -> None:
    """Raise ConfigError for the first service whose code cannot be imported."""
    if not services:
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "primacy.local.import_check"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    wanted = json.dumps({name: [row.python, row.path, row.local] for name, row in services.items()})
    try:
        async with asyncio.timeout(LIMIT_S):
            text, _ = await process.communicate(wanted.encode())
    except TimeoutError:
        got = f"an import that does not end within {LIMIT_S:g} s"
        raise ConfigError(
            f"services {', '.join(services)}", got, "want modules that do nothing when imported"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ConfigError(
            "services", f"code that cannot be used\n{text.decode('utf-8', 'replace').strip()}", "correct it"
        )


def main() -> int:
    """Import what standard input names; print the first error and return the exit code."""
    from primacy.host.loading import load
    from primacy.service import LocalService

    for name, (target, path, local) in json.load(sys.stdin).items():
        try:
            if issubclass(load(target, path), LocalService) is not local:
                found, want = ("a Service", "--service, or local = false") if local else _LOCAL
                raise ConfigError("python", f"{target}, which is {found}", f"give it with {want}")
        except ConfigError as error:
            sys.stdout.write(f"services.{name}: {error}\n")
            return EXIT_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
