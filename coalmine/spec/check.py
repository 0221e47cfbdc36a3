"""Data -> spec, with every problem at once: the way in for submissions as JSON, and for files after parsing."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from coalmine.errors import Problem, SpecError
from coalmine.spec.canary import CanarySpec
from coalmine.spec.faults import Fault, Path, as_problem, did_you_mean, listed, nearest
from coalmine.spec.foreign import Foreign, kind_errors, trusted
from coalmine.spec.later import is_later_key, is_later_value
from coalmine.spec.routes import ROUTE_OPTIONS
from coalmine.spec.rules import broken_rules, router_faults
from coalmine.spec.shape import homes_of, known_keys, routers_with
from coalmine.spec.wording import Spelling, worded

_STAND_INS: dict[str, Any] = {
    "service": "service",
    "environment": "environment",
    "arms": {"baseline": {"version": "1", "backend": "a"}, "canary": {"version": "2", "backend": "b"}},
    "route": {"router": "envoy", "name": "route", "files": ["file"], "admins": ["http://localhost"]},
    "steps": [{"weight": 1}],
    "metrics": [{"name": "errors", "kind": "ratio", "template": "envoy"}],
}
"""In place of a broken section, so that the others can be judged; the rules that read it are left out."""

OURS = Foreign()
"""No adapters but this package's own."""
ALL = frozenset(CanarySpec.model_fields)
"""Every section of a spec."""


def check_spec(data: Mapping[str, Any], foreign: Foreign = OURS, file: str = "<spec>") -> CanarySpec:
    """Turn plain data (as JSON brings it) into a spec.

    Args:
        data: the spec's keys and values.
        foreign: kinds of adapters besides this package's own.
        file: what the problems call the place it came from.

    Raises:
        SpecError: every problem found, each with its field.
    """
    spec, faults = examine(data, foreign)
    if spec is None:
        raise SpecError([as_problem(fault, file) for fault in faults])
    return spec


def recheck(spec: CanarySpec, foreign: Foreign | None = None, *, older: bool = False) -> list[Problem]:
    """Every problem of a spec that came as a model: from Python, or through a payload.

    ``foreign`` as in ``check_spec``; None leaves the kinds of adapters to whoever knows them, ``older`` as in
    ``broken_rules``.
    """
    data = spec.model_dump(mode="json", by_alias=True, warnings=False)
    known = trusted(spec) if foreign is None else foreign
    return [as_problem(fault) for fault in examine(data, known, older=older)[1]]


def examine(
    data: Any,
    foreign: Foreign = OURS,
    spelled: Spelling = lambda path: None,
    *,
    needed: Collection[str] = ALL,
    older: bool = False,
) -> tuple[CanarySpec | None, list[Fault]]:
    """The spec, or all that is wrong with it (never both).

    Sections that are not ``needed`` may be absent: stand-ins take their place, and nothing is asked of them.
    ``older`` as in ``broken_rules``.
    """
    if not isinstance(data, Mapping):
        return None, [Fault((), "a spec is a mapping: write key: value, beginning with service: ...")]
    if is_later_value(("kind",), data.get("kind")):
        return None, [Fault(("kind",), f"{data['kind']!r} is not built yet (known: Canary)")]
    spared = ALL - frozenset(needed) - data.keys()
    data = {**data, **{section: copy.deepcopy(_STAND_INS[section]) for section in spared & _STAND_INS.keys()}}
    spec, errors = _validated(CanarySpec, data)
    router = data["route"].get("router") if isinstance(data.get("route"), Mapping) else None
    shape = _Shape(router, spelled)
    shape.take([*errors, *kind_errors(data, foreign)])
    _examine_route(data.get("route"), foreign.routers, shape)
    broken = shape.broken_sections()
    if spec is None:
        spec, _ = _validated(CanarySpec, _mended(data, shape))
    if spec is not None:
        _name_the_only_source(spec)
        faults = broken_rules(spec, broken | spared, older=older)
        shape.faults += [fault for fault in faults if not shape.explains(fault, data)]
    return (None, shape.faults) if shape.faults else (spec, [])


class _Shape:
    """Gathers what is wrong key by key; an unknown key explains away what would follow from it."""

    def __init__(self, router: object, spelled: Spelling) -> None:
        self.faults: list[Fault] = []
        self.unknown: list[Path] = []
        self._meant: set[Path] = set()
        self._absent: set[Path] = set()
        self._router = router
        self._spelled = spelled

    def take(self, errors: Sequence[ErrorDetails], prefix: Path = ()) -> None:
        """Add what pydantic found below ``prefix``."""
        located = [(error, (*prefix, *_path(error))) for error in errors]
        # What else stands in a mapping of a later kind belongs to that kind.
        later = {path[:-1] for error, path in located if path[-1:] == ("kind",) and _is_later(error, path)}
        located = [
            (error, path)
            for error, path in located
            if _is_later(error, path) or not any(path[:length] in later for length in range(len(path) + 1))
        ]
        for error, path in located:
            if error["type"] in ("extra_forbidden", "invalid_key"):
                self._unknown_key(path)
        for error, path in located:
            if error["type"] in ("extra_forbidden", "invalid_key"):
                continue
            if error["type"] == "missing" and path in self._meant:
                self._absent.add(path)
            elif error["loc"] and error["loc"][-1] == "[key]":
                self._wrong_name(path)
            else:
                self.faults.append(Fault(path, worded(error, path, self._spelled)))

    def _unknown_key(self, path: Path) -> None:
        parent, key = path[:-1], path[-1]
        self.unknown.append(path)
        if is_later_key(parent, key):
            self.faults.append(Fault(path, f"'{key}' is not built yet; leave it out", on_key=True))
            return
        known = known_keys(parent, self._router)
        near = nearest(key, known)
        if near is not None:
            self._meant.add((*parent, near))
        able = routers_with(str(key)) if parent == ("route",) else ()
        homes = [home for home in homes_of(str(key)) if (home,) != parent[:1]]
        if able:
            message = f"{self._router} has no '{key}', which is of router: {listed(able)} (known here: {listed(known)})"
        elif homes:
            message = f"unknown key '{key}': it stands in {listed(homes)} (known here: {listed(known)})"
        else:
            message = f"unknown key '{key}'{did_you_mean(key, known)}"
        self.faults.append(Fault(path, message, on_key=True))

    def _wrong_name(self, path: Path) -> None:
        self.faults.append(
            Fault(path, f'{path[-1]!r} is not a text: put the name in quotes, "{path[-1]}"', on_key=True)
        )

    def broken_sections(self) -> set[str]:
        """The top-level keys that cannot be read as they are; an unknown key alone breaks none."""
        unknown = set(self.unknown)
        wrong = [fault.path for fault in self.faults if fault.path not in unknown]
        return {str(path[0]) for path in (*wrong, *self._absent) if path}

    def explains(self, fault: Fault, data: Any) -> bool:
        """Whether ``fault`` tells of something missing where an unknown key stands: that is what was meant."""
        parents = [path[:-1] for path in self.unknown if len(path) > 1]
        beside = any(fault.path[: len(parent)] == parent for parent in parents)
        return beside and (fault.path in parents or not _is_written(data, fault.path))


def _is_written(data: Any, path: Path) -> bool:
    for part in path:
        inside = data if isinstance(data, Mapping) else dict(enumerate(data)) if isinstance(data, list) else {}
        if part not in inside:
            return False
        data = inside[part]
    return True


def _is_later(error: ErrorDetails, path: Path) -> bool:
    return is_later_value(path, error.get("input"))


def _path(error: ErrorDetails) -> Path:
    return tuple(part for part in error["loc"] if part != "[key]")


def _validated(model: type[CanarySpec], data: Mapping[str, Any]) -> tuple[CanarySpec | None, list[ErrorDetails]]:
    try:
        # ``for_`` is the field's name in Python; in a spec it is as unknown as any other key.
        return model.model_validate(dict(data), by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _examine_route(route: object, routers: Collection[str], shape: _Shape) -> None:
    """The router's name, and the keys that are its own."""
    if not isinstance(route, Mapping) or not isinstance(router := route.get("router"), str) or not router:
        return
    shape.faults += router_faults(router, {*ROUTE_OPTIONS, *routers}, is_later_value(("route", "router"), router))
    options: type[BaseModel] | None = ROUTE_OPTIONS.get(router)
    if options is not None:
        try:
            options.model_validate({key: value for key, value in route.items() if key not in ("router", "name")})
        except ValidationError as error:
            shape.take(error.errors(include_url=False), ("route",))


def _mended(data: Mapping[str, Any], shape: _Shape) -> dict[str, Any]:
    """The data without its unknown keys, and with stand-ins for its broken sections."""
    mended = copy.deepcopy(dict(data))
    for path in shape.unknown:
        parent: Any = mended
        for part in path[:-1]:
            parent = parent[part]
        parent.pop(path[-1], None)
    for section in shape.broken_sections() | (_STAND_INS.keys() - mended.keys()):
        mended.pop(section, None)
        if section in _STAND_INS:
            mended[section] = copy.deepcopy(_STAND_INS[section])
    return mended


def _name_the_only_source(spec: CanarySpec) -> None:
    """A metric without a source means the only one there is."""
    if len(spec.sources) == 1:
        for metric in spec.metrics:
            if "source" not in metric.model_fields_set:
                metric.source = next(iter(spec.sources))
