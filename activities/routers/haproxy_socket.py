"""HAProxy's stats socket: its maps, changed in one step, and its backends. Everything here blocks; call it in a thread.

Source: HAProxy 2.6, management guide, 9.3 ("Unix Socket commands"): ``prepare``, ``add`` and ``commit map`` put all
of a new version in force at once.
"""

from __future__ import annotations

import csv
import re
import socket
from collections import Counter
from collections.abc import Sequence

from activities.routers.haproxy_map import understood, version_in
from activities.routers.preflight import Endpoints
from activities.routers.splits import Shown, Silent
from coalmine.errors import RouteRejected

TIMEOUT = 2.0
"""Seconds a socket may take. It answers in less than a millisecond."""
_MAP = re.compile(r"^-?[0-9]+ \((?P<path>[^)]+)\) pattern loaded from file")
_PREPARED = re.compile(r"New version created: ([0-9]+)")


class Refused(Exception):
    """Raised when HAProxy did not take what it was told; the message is its own."""


class NotWhole(Silent):
    """Raised when a map is there and is no route's: somebody's hands were on it. ``generation`` is what they left."""

    def __init__(self, why: str, generation: int) -> None:
        super().__init__(why)
        self.generation = generation


class StatsSocket:
    """One proxy's socket: ``/run/haproxy/admin.sock`` or ``host:port``. Each command is a connection."""

    def __init__(self, address: str, timeout: float = TIMEOUT) -> None:
        self._address = address
        self._timeout = timeout

    def find_map(self, paths: Sequence[str]) -> str | None:
        """Which of these files it has loaded as a map.

        Raises:
            Silent: as every method here, when there is no answer.
        """
        found = [match["path"] for line in self._ask("show map").splitlines() if (match := _MAP.match(line))]
        return next((path for path in found if path in paths), None)

    def shown(self, path: str) -> Shown:
        """The route as this map has it in the process.

        Raises:
            NotWhole: the map has entries that are no route's, or lacks some.
        """
        return self._understood(self._ask(f"show map {path}"))

    def replace(self, path: str, entries: Sequence[str], generation: int) -> None:
        """Put these entries in force instead of all that are there, unless there is a newer generation.

        A map that is not whole is written over, unless the version in it is newer.
        The version that is prepared first is a token: one prepared later and committed meanwhile makes ours void.

        Raises:
            Refused: there is a newer generation, or HAProxy took the entries for wrong.
        """
        answer = self._ask(f"prepare map {path}")
        prepared = _PREPARED.search(answer)
        if prepared is None:
            raise Refused(answer.strip() or "it prepared no version of the map: is it HAProxy 2.4 or newer?")
        try:
            there = self.shown(path).generation
        except NotWhole as broken:
            there = broken.generation
        if there > generation:
            raise Refused(f"shows the newer generation {there}")
        payload = "\n".join(entries)
        for command in (f"add map @{prepared[1]} {path} <<\n{payload}\n", f"commit map @{prepared[1]} {path}"):
            answer = self._ask(command).strip()
            if answer:
                raise Refused(answer)

    def servers(self) -> dict[str, Endpoints]:
        """By backend, its servers, and how many of them may get traffic."""
        answer = self._ask("show stat -1 6 -1").removeprefix("# ")
        rows = list(csv.DictReader(answer.splitlines()))
        try:
            counts = Counter(row["pxname"] for row in rows if row["svname"] != "BACKEND")
            return {
                row["pxname"]: Endpoints(counts[row["pxname"]], int(row["act"] or 0) + int(row["bck"] or 0))
                for row in rows
                if row["svname"] == "BACKEND"
            }
        except (KeyError, ValueError, TypeError) as error:
            raise self._silent("did not answer as HAProxy's stats socket does") from error

    def _understood(self, answer: str) -> Shown:
        # Each line begins with the entry's address in memory.
        lines = [line.partition(" ")[2] for line in answer.splitlines() if line.startswith("0x")]
        if not lines and answer.strip():
            raise self._silent(answer.strip())
        try:
            return understood(lines)
        except RouteRejected as error:
            raise NotWhole(
                f"{self._address}: somebody has changed its map in the process ({error}): the next write puts it "
                "right, and so does a reload",
                version_in(lines).generation,
            ) from error

    def _ask(self, command: str) -> str:
        try:
            with self._connected() as connection:
                connection.settimeout(self._timeout)
                connection.sendall(f"{command}\n".encode())
                parts: list[bytes] = []
                while part := connection.recv(65536):
                    parts.append(part)
        except TimeoutError as error:
            raise self._silent(f"no answer within {self._timeout:g} s") from error
        except OSError as error:
            raise self._silent(f"no answer ({error.strerror or error})") from error
        if not parts:
            # Also nothing is told by an empty line: who takes this for an empty map passes its fence.
            raise self._silent("no answer (the connection was closed)")
        answer = b"".join(parts).decode(errors="replace")
        if "Permission denied" in answer:
            raise self._silent("may not be told this: give the stats socket level operator or admin")
        return answer

    def _connected(self) -> socket.socket:
        if self._address.startswith("/"):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.settimeout(self._timeout)
                connection.connect(self._address)
            except BaseException:
                connection.close()
                raise
            return connection
        host, _, port = self._address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), self._timeout)

    def _silent(self, why: str) -> Silent:
        return Silent(f"{self._address}: {why}")
