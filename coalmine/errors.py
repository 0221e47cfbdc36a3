"""Every error Coalmine raises on purpose.

CoalmineError
├── InputError                what a person wrote is wrong; the message names field, value and mend (exit 2)
│   ├── SpecError             a spec, with every problem at its file:line:column
│   ├── UnknownAdapter        a router, source or notifier nobody registered
│   └── MissingExtra          an optional dependency is not installed
├── SecretMissing             a secret a spec names is not set on the worker
├── RefusedError              a rollout refused what it was told, with the reason
├── RolloutNotFound           no rollout under that id
├── TemporalUnavailable       the Temporal server, namespace or search attributes are not as needed
├── PayloadUnreadable         a payload is encrypted with a key that is not at hand
├── RouterError
│   ├── StaleGeneration       a newer write owns the route; an older one never overrides it
│   ├── RouteRejected         the data plane (or our own validation) refused the route
│   ├── RouteUnconfirmed      written, but not every proxy shows it yet
│   └── RouterUnreachable     the data plane did not answer
├── SourceError
│   ├── QueryRejected         the metric store refused the query: asking again will not help
│   └── SourceUnreachable     the metric store did not answer in time
├── LedgerError               the ledger could not be written or read
│   └── LedgerCorrupt         a line of the ledger is no entry: a human has to mend it
└── HookError
    ├── HookRefused           the hook answered 4xx: a definite no
    └── HookUnreachable       the hook did not answer, or answered 5xx

``retryable`` says whether the same call may succeed later; activities turn it into Temporal's retry decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CoalmineError(Exception):
    """Base of every error raised on purpose."""

    retryable: bool = False


class InputError(CoalmineError):
    """Raised when what a person wrote cannot be used; the message names the field, the value and the mend."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec: where, which field, and what to do about it.

    ``line`` and ``column`` count from 1; 0 means the place is not known.
    """

    field: str
    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file or '<spec>'}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.field, self.message) if part)


class SpecError(InputError):
    """Raised when a spec is wrong; ``problems`` holds every problem found, in file order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class UnknownAdapter(InputError):
    """Raised when a router, source, ledger or notifier is not registered; lists those that are."""


class MissingExtra(InputError):
    """Raised when an optional dependency is missing; says which extra to install."""

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}': pip install 'coalmine[{extra}]'")
        self.extra = extra


class SecretMissing(CoalmineError):
    """Raised when a secret is not set on the worker, or cannot be used; names its variable, never the value."""


class RefusedError(CoalmineError):
    """Raised when a rollout refuses a submission or a command, with its reason."""


class RolloutNotFound(CoalmineError):
    """Raised when there is no rollout under the id that was asked for."""


class TemporalUnavailable(CoalmineError):
    """Raised when the Temporal server, its namespace or its search attributes are not as needed."""

    retryable = True


class PayloadUnreadable(CoalmineError):
    """Raised when a payload is encrypted with a key that is not at hand, or was changed."""

    retryable = True


class HistoryUnreadable(CoalmineError):
    """Raised when what a workflow's history holds is not what this build can read: another build's, or nobody's."""


class RouterError(CoalmineError):
    """Base of everything a router can answer with instead of a route."""


class StaleGeneration(RouterError):
    """Raised when the route already carries a newer generation (or the same one with other weights)."""


class RouteRejected(RouterError):
    """Raised when the route cannot be used: our validation or the data plane said no; the last good one is back."""


class RouteUnconfirmed(RouterError):
    """Raised when the write was made but not every proxy shows it in time."""

    retryable = True


class RouterUnreachable(RouterError):
    """Raised when the data plane did not answer."""

    retryable = True


class SourceError(CoalmineError):
    """Base of everything that can go wrong when asking a metric store."""


class QueryRejected(SourceError):
    """Raised when the metric store refused the query: the same query will be refused again."""


class SourceUnreachable(SourceError):
    """Raised when the metric store did not answer in time, or refused the connection."""

    retryable = True


class LedgerError(CoalmineError):
    """Raised when the ledger cannot be written or read."""

    retryable = True


class LedgerCorrupt(LedgerError):
    """Raised when a line of the ledger cannot be read as an entry; the message names file and line."""

    retryable = False


class HookError(CoalmineError):
    """Base of what can go wrong with a hook or a notification."""


class HookRefused(HookError):
    """Raised when a hook answered 4xx: a definite no."""


class HookUnreachable(HookError):
    """Raised when a hook did not answer, or answered 5xx."""

    retryable = True
