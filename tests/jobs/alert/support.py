"""Alerts in a few words, and places for them to go to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from orwatch.domain.alerts.message import Message
from orwatch.jobs.alert.destinations import Destination, Failure, Outgoing

OUT = Outgoing(Message("orwatch: 80 %", "80 % are spent.\n\nRule: budget"), '{"id": 12}')


@dataclass
class Place:
    """A destination that remembers what it got, and fails while it is told to."""

    label: str
    failure: Failure | None = None
    got: list[str] = field(default_factory=list)

    @property
    def destination(self) -> Destination:
        return Destination(self.label, self._deliver, lambda: None)

    def _deliver(self, outgoing: Outgoing, _seconds: float) -> Failure | None:
        self.got.append(outgoing.message.title)
        return self.failure


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(server.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()
