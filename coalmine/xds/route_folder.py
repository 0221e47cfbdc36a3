"""The folder of route files a control plane serves: read, watched for what others write, and written under the fence.

The files are those of the ``envoy`` router (docs/envoy.md). Everything here blocks; call it in a thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import structlog

from activities.routers.envoy_document import RouteDocument, parse, route_configurations
from activities.routers.envoy_routes import ENVOY
from activities.routers.envoy_users import Users
from activities.routers.route_files import RouteFiles, WriteResult, Written
from activities.routers.splits import Reading
from coalmine.errors import RouteRejected, RouterError
from coalmine.xds.messages import encoded_route
from coalmine.xds.subscription import Served

_ENDINGS = (".json", ".yaml", ".yml")
_log = structlog.get_logger("coalmine.xds")
_Mark = tuple[int, int, int]


class RouteFolder:
    """``served`` is what proxies are to have: of a file that is broken or gone, what it said last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served: Mapping[str, Served] = {}
        self.trouble: dict[str, str] = {}
        """By file, why it is not served as it is."""
        self._paths: dict[str, Path] = {}
        self._marks: dict[Path, _Mark] = {}
        self._files = RouteFiles(RouteDocument, ENVOY)

    def look(self) -> bool:
        """Take up what has changed; whether anything that is served did."""
        try:
            paths = sorted(path for path in self.folder.iterdir() if _is_route_file(path))
        except OSError as error:
            self._complain(self.folder, f"{self.folder}: cannot be read ({error.strerror})")
            return False
        self.trouble.pop(str(self.folder), None)
        self._marks = {path: mark for path, mark in self._marks.items() if path in paths}
        changed = [self._look_at(path) for path in paths]
        return any(changed)

    def read(self, name: str) -> Reading:
        """The route as its file has it now.

        Raises:
            RouteRejected: there is none, or its file is broken; says what is there.
            RouterUnreachable: the file cannot be read.
        """
        path = self._path(name)
        self._look_at(path)
        try:
            reading = self._files.read(str(path), name)
            if trouble := self.trouble.get(str(path)):
                raise RouteRejected(trouble)
        except RouterError as error:
            raise type(error)(f"{error} (proxies keep what it said before)") from error
        return reading

    def write(self, name: str, units: Mapping[str, int], generation: int, users: Users) -> WriteResult:
        """Compare the generation and replace the file, under its lock.

        Raises:
            StaleGeneration: the file carries a newer generation, or this one with other weights.
            RouteRejected: the route has no entry for the clusters, or would be none Envoy takes.
            RouterUnreachable: the file could not be written.
        """
        path = str(self._path(name))
        result = self._files.write([path], name, units, generation, document=partial(_Encoded, users=users))
        self._look_at(Path(path))
        for error in result.failed.values():
            raise error
        return result

    def put_back(self, written: Written, name: str, generation: int) -> bool:
        """Put back what was there before; False when somebody has written since, whose file stays.

        Raises:
            RouterError: the file could not be read or written.
        """
        back = self._files.put_back([written], name, generation)
        self._look_at(Path(written.path))
        return bool(back)

    def rehearse(self, name: str, units: Mapping[str, int], users: Users) -> str:
        """Everything a write does but the write: why it would fail, empty when it would not.

        Raises:
            RouteRejected: there is no such route.
        """
        path = str(self._path(name))
        return self._files.rehearse([path], name, units, partial(_Encoded, users=users)).get(path, "")

    def _path(self, name: str) -> Path:
        if name not in self._paths:
            known = ", ".join(map(repr, sorted(self._paths))) or "none"
            raise RouteRejected(f"no file of {self.folder} holds route {name!r} (there are: {known})")
        return self._paths[name]

    def _look_at(self, path: Path) -> bool:
        try:
            stat = path.stat()
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if self._marks.get(path) == mark:
                return False
            self._marks[path] = mark
            text = path.read_text(encoding="utf-8")
            names = list(route_configurations(str(path), parse(str(path), text)))
            found = {name: _served(str(path), text, name) for name in names}
        except (OSError, UnicodeDecodeError) as error:
            # Whoever mends its rights leaves no other mark.
            self._marks.pop(path, None)
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            self._complain(path, f"{path}: cannot be read ({reason})")
            return False
        except RouterError as error:
            self._complain(path, str(error))
            return False
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            self._complain(path, f"{path}: holds nothing Envoy would take ({error!r})")
            return False
        twice = [name for name in found if self._paths.get(name, path) != path and self._paths[name].exists()]
        if twice:
            self._complain(path, f"{path}: holds route {twice[0]!r}, and so does {self._paths[twice[0]]}: keep one")
            return False
        self.trouble.pop(str(path), None)
        changed = {name: served for name, served in found.items() if self.served.get(name) != served}
        self._paths |= dict.fromkeys(found, path)
        if changed:
            # As a whole: streams read it from another thread.
            self.served = {**self.served, **changed}
        return bool(changed)

    def _complain(self, path: Path, reason: str) -> None:
        if self.trouble.get(str(path)) != reason:
            _log.warning("routes not taken up", reason=reason)
        self.trouble[str(path)] = reason


class _Encoded(RouteDocument):
    """A route file that is written only when Envoy's API has all that it says."""

    def __init__(self, path: str, text: str, name: str, users: Users) -> None:
        super().__init__(path, text, name, users)
        self._path_named = path

    def reading(self) -> Reading:
        """What it says now; also that it can be sent.

        Raises:
            RouteRejected: an entry cannot be understood, or Envoy's API has no such thing.
        """
        encoded_route(self.configuration, self._path_named)
        return super().reading()

    def render(self) -> str:
        """The text of the file.

        Raises:
            RouteRejected: Envoy's API has no such thing.
        """
        encoded_route(self.configuration, self._path_named)
        return super().render()


def _served(path: str, text: str, name: str) -> Served:
    document = RouteDocument(path, text, name)
    reading = document.reading()
    return Served(name, reading.version.text, encoded_route(document.configuration, path), reading.splits)


def _is_route_file(path: Path) -> bool:
    return path.suffix in _ENDINGS and not path.name.startswith(".") and path.is_file()
