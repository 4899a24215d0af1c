"""An agent whose brain is the test: it passes everything between the guardian and the test's socket, and
knows nothing.

    python fake_agent.py CONTROL_PATH

From the test, a packet that begins with `!` is for the agent itself (`!exit 0`, `!stop-reading`,
`!read-again`, `!close-channel`); any other goes to the guardian as it is. What the guardian says goes to the
test, descriptors included. A SIGTERM is told to the test, which then decides.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import sys

from primacy import channel

GREETING = b"!born"


def drain(end: channel.Channel) -> None:
    """Wait until the other side has taken everything."""
    while end.wants_write:
        select.select([], [end], [])
        end.flush()


def main(control_path: str) -> None:
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(control_path)
    test = channel.Channel(control)
    guardian = channel.from_fd(int(os.environ["PRIMACY_GUARDIAN_FD"]))
    signal.signal(signal.SIGTERM, lambda *_: test.send(b"!sigterm"))
    test.send(b"%s %d %d" % (GREETING, os.getpid(), os.getppid()))
    selector = selectors.DefaultSelector()
    selector.register(test, selectors.EVENT_READ)
    selector.register(guardian, selectors.EVENT_READ)
    reading = True
    while not test.closed:
        selector.select()
        for message, fds in test.receive():
            match message.split():
                case [b"!exit", code]:
                    os._exit(int(code))
                case [b"!stop-reading"]:
                    selector.unregister(guardian)
                    reading = False
                    test.send(b"!done")
                case [b"!read-again"]:
                    selector.register(guardian, selectors.EVENT_READ)
                    reading = True
                case [b"!close-channel"]:
                    selector.unregister(guardian)
                    guardian.close()
                    reading = False
                case _:
                    guardian.send(message, fds)
                    channel.close_all(fds)
                    drain(guardian)
        if reading:
            for message, fds in guardian.receive():
                test.send(message, fds)
                channel.close_all(fds)
            drain(test)
            if guardian.closed:
                selector.unregister(guardian)
                reading = False


if __name__ == "__main__":
    main(sys.argv[1])
