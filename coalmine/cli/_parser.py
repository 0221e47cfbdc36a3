"""Reading the command line: argparse, with errors that name the nearest word, and options all verbs share.

argparse and not a richer library: its import and a help page take 0.05 s, where ``--help`` may take 0.3 s
(benchmarks/cli_help.py).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, NoReturn

from coalmine.errors import InputError

FORMS = ("table", "json")
ROLLOUT = "a service, canary/<environment>/<service>[/<region>], or a rollout id"


class Parser(argparse.ArgumentParser):
    """A parser of one verb. Usage errors are ``InputError``, so that they are shown as all others are."""

    def __init__(self, verb: str, line: str, epilog: str = "") -> None:
        super().__init__(
            prog=f"coalmine {verb}",
            description=line[:1].upper() + line[1:] + ".",
            epilog=epilog or None,
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.add_argument("-h", "--help", action="help", help="show this and exit")

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting."""
        raise InputError(f"{message} ({self.prog} --help shows how)")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse the words after the verb; options may stand anywhere.

        Raises:
            InputError: something is missing, unknown or not readable.
        """
        args, unknown = self.parse_known_intermixed_args(list(words))
        if unknown:
            word = unknown[0].split("=")[0]
            known = sorted(option for option in self._option_string_actions if option.startswith("--"))
            if not word.startswith("-"):
                self.error(f"'{word}' is one word too many")
            self.error(f"unknown option {word}{did_you_mean(word, known)}")
        return args

    def add_output(self, forms: Sequence[str] = FORMS, default: str = "table") -> None:
        """``-o``: stdout is data in this form; stderr is for people."""
        help_text = f"form of what goes to stdout: {', '.join(forms)} (default: {default})"
        self.add_argument("-o", "--output", choices=forms, default=default, metavar="FORM", help=help_text)

    def add_connection(self) -> None:
        """``--profile``."""
        self.add_argument(
            "--profile",
            metavar="NAME",
            help="profile of the Temporal configuration file (default: TEMPORAL_PROFILE, or 'default')",
        )

    def add_place(self, required: bool = False) -> None:
        """``--environment`` and ``--region``."""
        default = os.environ.get("COALMINE_ENVIRONMENT") or None
        self.add_argument(
            "-e",
            "--environment",
            metavar="NAME",
            default=default,
            required=required and default is None,
            help="environment (default: COALMINE_ENVIRONMENT)",
        )
        self.add_argument("--region", metavar="NAME", help="region, for a service that has several")

    def add_rollout(self) -> None:
        """The rollout that is meant, and where it is."""
        self.add_argument("rollout", metavar="ROLLOUT", help=ROLLOUT)
        self.add_place()
        self.add_connection()

    def add_speaker(self) -> None:
        """``--by`` and ``--reason``."""
        self.add_argument(
            "--by", metavar="WHO", help="who says so (default: COALMINE_BY, git's user.email, or $USER@host)"
        )
        self.add_argument("-m", "--reason", metavar="TEXT", default="", help="why; it goes into the record")


class _Formatter(argparse.HelpFormatter):
    """Two columns wide enough for our options, within 100 characters."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=min(100, _columns()))


def _columns() -> int:
    try:
        return max(int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns), 60)
    except (OSError, ValueError):
        return 100


def duration(text: str, longest: timedelta | None = None) -> timedelta:
    """``30s`` ``5m`` ``2h`` on the command line; more than zero."""
    from coalmine.spec.durations import LONGEST, parse_duration

    try:
        value = parse_duration(text, longest or LONGEST)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if value <= timedelta(0):
        raise argparse.ArgumentTypeError(f"{text!r} must be longer than zero, such as 30s")
    return value


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` for the nearest known word, or nothing."""
    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def flag(environ: Mapping[str, str], name: str) -> bool:
    """Whether an environment variable says yes."""
    return environ.get(name, "").strip().lower() in {"1", "true", "yes", "on"}


Args = Any
"""What a parser read: ``argparse.Namespace``."""
