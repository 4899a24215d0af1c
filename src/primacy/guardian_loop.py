"""The guardian at work: one agent, its children, its lease pages, and the proof of their death.

When the agent dies, then in this order, whatever else is going on:

1. every lease page is zeroed: from here on no host answers or acknowledges anything;
2. all children are killed and reaped until there is none, so no process of the node is alive;
3. only then the obituaries are released;
4. the agent is started again, after a pause that doubles with each short life (50 ms to 5 s).

What cannot be ended in five seconds (a process in the kernel, waiting for a dead disk) is reported in one
line; no obituary leaves, and no agent starts, before it is gone. An agent that exits with 0 after it asked to
stop, or with 78 (its configuration is wrong), is not started again.

Nothing here blocks: one selector, deadlines kept in a table, signals through a wake-up descriptor, a channel
with a bounded queue. An agent that sends garbage gets an error and is counted; one that does not read is left
alone, and is told later what it has missed. Standard library only.
"""

from __future__ import annotations

import enum
import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from typing import NamedTuple

from primacy import channel, guardian_message, guardian_process, lease_page
from primacy.boot import BOOT_VARIABLE, Boot
from primacy.guardian_leftovers import MARK_VARIABLE, Record
from primacy.guardian_log import Log
from primacy.guardian_obituary import Obituaries
from primacy.guardian_page import Pages
from primacy.guardian_watchdog import Watchdog

GUARDIAN_VARIABLE = "PRIMACY_GUARDIAN_FD"
EXIT_OK, EXIT_FAILED, EXIT_CONFIG = 0, 1, 78
CHILDREN_MAX = 1024

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_S = 1_000_000_000


class Timing(NamedTuple):
    """How long things may take."""

    restart_first_s: float = 0.05
    restart_last_s: float = 5.0
    long_life_s: float = 10.0
    stuck_s: float = 5.0
    kill_again_s: float = 0.05
    channel_closed_s: float = 5.0


class _State(enum.Enum):
    GUARDING = "the agent is alive"
    ENDING = "the agent is dead, its children are being ended"
    PAUSING = "all are dead, the agent will be started again"
    LEAVING = "all are dead, the last repetitions of the obituary are sent"


class _Child(NamedTuple):
    name: str
    error_fd: int


class Guardian:
    """One life of a node's guardian; `run()` returns its exit code. `then`: what the machine is to do afterwards."""

    def __init__(
        self,
        boot: Boot,
        record: Record,
        log: Log,
        agent_argv: Sequence[str],
        timing: Timing | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._record, self._log, self._agent_argv = record, log, list(agent_argv)
        self._timing = timing or Timing()
        self._watchdog = watchdog
        self.then = ""
        self._stop_grace_s = boot.stop_grace_s
        self._environ = {k: v for k, v in os.environ.items() if k not in (GUARDIAN_VARIABLE, BOOT_VARIABLE)}
        self._environ[MARK_VARIABLE] = record.mark
        self._boot_json = boot.to_json()
        self._selector = selectors.DefaultSelector()
        self._state = _State.PAUSING
        self._deadlines: dict[Callable[[], None], int] = {}
        self._channel: channel.Channel | None = None
        self._agent_pid = 0
        self._agent_error_fd = -1
        self._agent_began_ns = 0
        self._agent_died_ns = 0
        self._pause_s = self._timing.restart_first_s
        self._stop_is_wanted = False
        self._stopping = False
        self._exit_code: int | None = None
        self._children: dict[int, _Child] = {}
        self._pages = Pages()
        self._obituaries = Obituaries()
        self._missed_count = 0
        self._garbage_count = 0
        self._done = False

    def run(self) -> int:
        """Guard until the node is to end; everything that was started is dead when this returns."""
        guardian_process.become_subreaper()
        wakeup, wakeup_in = socket.socketpair(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        for number in (signal.SIGCHLD, *_STOP_SIGNALS):
            signal.signal(number, self._on_signal)
        signal.set_wakeup_fd(wakeup_in.fileno(), warn_on_full_buffer=False)
        self._selector.register(wakeup, selectors.EVENT_READ)
        self._start_agent()
        while not self._done:
            for key, _ in self._selector.select(self._timeout_s()):
                if key.fileobj is wakeup:
                    wakeup.recv(4096)
                    self._on_wakeup()
                else:
                    self._on_channel()
            self._obey_deadlines()
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._obituaries.close()
        if self._watchdog is not None:
            self._watchdog.close(disarm=self._state is _State.LEAVING)
        wakeup.close()
        wakeup_in.close()
        assert self._exit_code is not None
        return self._exit_code

    # Deadlines

    def _timeout_s(self) -> float | None:
        others = self._obituaries.due_ns, self._watchdog.due_ns if self._watchdog is not None else None
        instants = [*self._deadlines.values(), *(each for each in others if each is not None)]
        return max(0.0, (min(instants) - lease_page.now_ns()) / _S) if instants else None

    def _obey_deadlines(self) -> None:
        now_ns = lease_page.now_ns()
        for act in [act for act, instant_ns in self._deadlines.items() if instant_ns <= now_ns]:
            if self._deadlines.pop(act, None) is not None:  # an earlier one may have cancelled it
                act()
        self._obituaries.send_due(now_ns)
        if self._watchdog is not None:
            self._watchdog.feed_due(now_ns)
        if self._state is _State.LEAVING and self._obituaries.due_ns is None:
            self._done = True

    def _in(self, seconds: float, act: Callable[[], None]) -> None:
        self._deadlines[act] = lease_page.now_ns() + int(seconds * _S)

    # The agent's life

    def _start_agent(self) -> None:
        ours, theirs = channel.pair()
        environ = self._environ | {GUARDIAN_VARIABLE: str(theirs.fileno()), BOOT_VARIABLE: self._boot_json}
        self._agent_began_ns = self._agent_died_ns = lease_page.now_ns()
        try:
            spawned = self._spawn("agent", self._agent_argv, environ, None, [theirs.fileno()])
        except OSError as error:
            self._log.say(f"the agent could not be started: {error}")
            ours.close()
            self._rest()
            return
        finally:
            theirs.close()
        self._agent_pid, self._agent_error_fd = spawned
        self._channel = channel.Channel(ours, on_overflow=self._on_overflow)
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._state, self._garbage_count = _State.GUARDING, 0
        self._log.say(f"agent started (pid {spawned.pid})")

    def _spawn(
        self, name: str, argv: Sequence[str], environ: dict[str, str], cwd: str | None, inherit: list[int]
    ) -> guardian_process.Spawned:
        slot = self._record.take_slot()
        spawned = guardian_process.spawn(
            argv, environ, cwd, inherit, lambda pid: self._record.sign_in(name, pid, slot)
        )
        self._record.began(spawned.pid, slot)
        return spawned

    def _on_signal(self, number: int, _: object) -> None:
        if number in _STOP_SIGNALS:
            self._stop_is_wanted = True

    def _on_wakeup(self) -> None:
        if self._stop_is_wanted and not self._stopping:
            self._log.say("asked to stop")
            self._begin_stop()
            self._pass_on_stop()
        self._reap()

    def _begin_stop(self) -> None:
        self._stopping = True
        if self._state is _State.PAUSING:
            self._deadlines.clear()
            self._leave(EXIT_OK)
        elif self._state is _State.GUARDING:
            self._in(self._stop_grace_s, self._end_of_grace)
        elif self._state is _State.ENDING and self._report_stuck not in self._deadlines:
            self._in(self._timing.stuck_s, self._report_stuck)  # said before; now it also ends our life

    def _pass_on_stop(self) -> None:
        if self._state is _State.GUARDING:
            os.kill(self._agent_pid, signal.SIGTERM)

    def _end_of_grace(self) -> None:
        self._log.say(f"the agent has not stopped within {self._stop_grace_s:g} s: it is killed")
        os.kill(self._agent_pid, signal.SIGKILL)

    def _reap(self) -> None:
        ended, any_left = guardian_process.reap()
        agent_code = next((code for pid, code in ended if pid == self._agent_pid), None)
        if agent_code is not None:
            self._on_agent_death(agent_code)
        for pid, code in ended:
            self._record.ended(pid)
            child = self._children.pop(pid, None)
            if child is not None:
                self._tell_exit(pid, child, code)
        if self._state is _State.ENDING:
            if any_left:
                self._kill_all()
            else:
                self._all_are_dead()

    def _on_agent_death(self, code: int) -> None:
        self._pages.revoke_all()
        guardian_process.kill_children()
        self._agent_died_ns = lease_page.now_ns()
        self._agent_pid = 0
        self._state = _State.ENDING
        self._deadlines.clear()
        self._take_last_words()
        self._in(self._timing.stuck_s, self._report_stuck)
        error = guardian_process.read_error(self._agent_error_fd)
        self._log.say(f"the agent {_how(code)}{': ' + error if error else ''}")
        if code == EXIT_CONFIG:
            self._exit_code = EXIT_CONFIG
        elif self._stopping:
            self._exit_code = EXIT_OK if code in (0, -signal.SIGTERM) else EXIT_FAILED

    def _take_last_words(self) -> None:
        """Read what the agent still said: its newest obituaries and its wish to stop count, no order does."""
        while self._channel is not None and (packets := self._channel.receive()):
            for message, fds in packets:
                channel.close_all(fds)
                try:
                    order = guardian_message.parse(message, len(fds))
                    if isinstance(order, guardian_message.Hold | guardian_message.Stop):
                        self._obey(order, [])
                except ValueError:
                    self._garbage_count += 1
        self._close_channel()

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._selector.unregister(self._channel)
            self._channel.close()
        self._channel, self._missed_count = None, 0

    def _kill_all(self) -> None:
        guardian_process.kill_children()
        self._in(self._timing.kill_again_s, self._reap)

    def _report_stuck(self) -> None:
        names = ", ".join(guardian_process.describe(pid) for pid in guardian_process.children())
        after = f"{self._timing.stuck_s:g} s"
        self._log.say(f"cannot end {names} in {after}: no obituary and no new agent before it is gone")
        if self._stopping or self._exit_code is not None:
            self._exit_code = EXIT_FAILED
            self._done = True

    def _all_are_dead(self) -> None:
        released = self._obituaries.release(lease_page.now_ns())
        took_ms = (lease_page.now_ns() - self._agent_died_ns) / 1e6
        self._log.say(f"all processes are dead after {took_ms:.1f} ms; obituaries released: {released}")
        self._deadlines.clear()
        self._pages.drop_all()
        if self._exit_code is not None or self._stopping:
            self._leave(EXIT_OK if self._exit_code is None else self._exit_code)
        else:
            self._rest()

    def _rest(self) -> None:
        if self._agent_died_ns - self._agent_began_ns >= self._timing.long_life_s * _S:
            self._pause_s = self._timing.restart_first_s
        self._state = _State.PAUSING
        self._in(self._pause_s, self._start_agent)
        self._pause_s = min(2 * self._pause_s, self._timing.restart_last_s)

    def _leave(self, code: int) -> None:
        self._exit_code = code
        self._state = _State.LEAVING

    # Talking with the agent

    def _on_channel(self) -> None:
        if self._channel is None:  # closed by what came before in this turn
            return
        self._channel.flush()
        for message, fds in self._channel.receive():
            try:
                self._obey(guardian_message.parse(message, len(fds)), fds)
            except (ValueError, OSError) as error:  # garbage, or something that the system refuses us
                self._on_garbage(message, str(error))
            finally:
                channel.close_all(fds)
        if self._channel.closed:
            self._close_channel()
            self._in(self._timing.channel_closed_s, self._kill_deaf_agent)
            return
        if self._missed_count and not self._channel.wants_write:
            names = {child.name: pid for pid, child in self._children.items()}
            count, self._missed_count = self._missed_count, 0
            self._send(guardian_message.encode("missed", count=count, children=names))
        self._watch_channel()

    def _on_garbage(self, message: bytes, reason: str) -> None:
        of = message[:200].decode("utf-8", "replace")
        if self._garbage_count == 0:
            self._log.say(f"the agent sent what cannot be done, {reason}: {of}")
        self._garbage_count += 1
        self._send(guardian_message.encode("error", what=reason, of=of))

    def _watch_channel(self) -> None:
        assert self._channel is not None
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._channel.wants_write else 0)
        if self._selector.get_key(self._channel).events != events:
            self._selector.modify(self._channel, events)

    def _send(self, message: bytes, fds: Sequence[int] = ()) -> None:
        if self._channel is not None:
            self._channel.send(message, fds)
            self._watch_channel()

    def _on_overflow(self) -> None:
        if self._missed_count == 0:
            self._log.say("the agent does not read: it is left alone, and told later what it has missed")
        self._missed_count += 1

    def _kill_deaf_agent(self) -> None:
        self._log.say("the agent lives on without its channel: it is killed")
        os.kill(self._agent_pid, signal.SIGKILL)

    def _obey(self, order: guardian_message.Order, fds: Sequence[int]) -> None:
        match order:
            case guardian_message.Spawn():
                self._spawn_child(order, fds)
            case guardian_message.Kill(name=name, signal=number):
                os.kill(self._pid_of(name), number)
            case guardian_message.MakePage(service=service, term=term):
                fd = self._pages.fd(service, term)
                self._send(guardian_message.encode("page", service=service, term=term), [fd])
            case guardian_message.DropPage(service=service, term=term):
                self._pages.drop(service, term)
            case guardian_message.Hold(items=items):
                down = self._obituaries.hold(items)
                if down:
                    what = f"links are down: {', '.join(down)}"
                    self._send(guardian_message.encode("error", what=what, of="obituaries"))
            case guardian_message.Alive(silence_s=silence_s) if self._watchdog is not None:
                self._watchdog.heard(lease_page.now_ns(), silence_s)
            case guardian_message.Stop(then=then):
                self.then = then
                if not self._stopping:
                    self._begin_stop()

    def _spawn_child(self, order: guardian_message.Spawn, fds: Sequence[int]) -> None:
        taken = {"guardian", "agent", *(child.name for child in self._children.values())}
        if order.name in taken:
            raise guardian_message.Garbage(f"name: {order.name} is taken")
        if len(self._children) >= CHILDREN_MAX:
            raise guardian_message.Garbage(f"{CHILDREN_MAX} children are alive already")
        changes = order.env | dict(zip(order.fds, map(str, fds), strict=True))
        environ = {key: value for key, value in (self._environ | changes).items() if value is not None}
        spawned = self._spawn(order.name, order.argv, environ, order.cwd, list(fds))
        self._children[spawned.pid] = _Child(order.name, spawned.error_fd)
        self._send(guardian_message.encode("spawned", name=order.name, pid=spawned.pid))

    def _tell_exit(self, pid: int, child: _Child, code: int) -> None:
        error = guardian_process.read_error(child.error_fd)
        self._send(guardian_message.exited(child.name, pid, code, error))

    def _pid_of(self, name: str) -> int:
        pid = next((pid for pid, child in self._children.items() if child.name == name), None)
        if pid is None:
            raise guardian_message.Garbage(f"name: no child {name} is alive")
        return pid


def _how(code: int) -> str:
    if code >= 0:
        return f"exited with {code}"
    return f"was ended by signal {-code} ({signal.strsignal(-code)})"
