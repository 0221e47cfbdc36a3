"""``/rollout VERB ...``: the words of the command line, as people type them into Slack. No I/O.

The options are those of the command line that make sense here: not ``--by`` and ``--sign-with``, because Slack says who
speaks, nor ``--profile``.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from coalmine.cli._parser import Args, Parser, did_you_mean, duration
from coalmine.cli._verbs import VERBS
from coalmine.errors import InputError
from coalmine.records import Verb

COMMAND = "/rollout"
READING = ("status", "list", "decisions")
WORDS = (*READING, *Verb, "help")
LONGEST = 3_000
"""Characters of a command."""
NOT_HERE = {
    "start": "start is not offered in chat: a spec comes from your repository, by coalmine start in CI (docs/ci.md)",
    "watch": "the rollout's message in its channel is kept up to date: there is nothing to watch for",
}
_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"') | dict.fromkeys("‘’‚‛‹›", "'") | {"\u00a0": " "})
_DASHES = re.compile(r"(?<!\S)[—–](?=[a-z])")
_PIECE = re.compile(
    r"""
    (?P<space>\s+)
    | \\(?P<mark>["'])                                    # a quotation mark that is meant as such
    | "(?P<double>(?:\\"|[^"])*)"
    | (?P<open>")
    | '(?P<single>[^']*(?:'(?![\s"']|$)[^']*)*)'(?=[\s"']|$)
    | (?P<plain>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTABLE = re.compile(r"(?:-[A-Za-z]|--?[\w-]+=)?")
"""What a single quote may follow: nothing, or an option whose value it begins."""
_ESCAPED = re.compile(r"<(?P<target>[^<>|]*)(?:\|(?P<label>[^<>]*))?>")


@dataclass(frozen=True)
class Wanted:
    """What a command asks for."""

    verb: str
    rollout: str = ""
    environment: str | None = None
    region: str | None = None
    service: str | None = None
    reason: str = ""
    gate: str | None = None
    attempt: int | None = None
    longer: timedelta | None = None
    break_glass: bool = False
    about: str = ""
    """Of help: the verb it is about."""


def parse(text: str) -> Wanted:
    """Read what stands after ``/rollout``.

    Raises:
        InputError: it cannot be used; names the nearest word.
    """
    words = _words(text)
    verb = words[0].lower() if words else "help"
    if verb in ("help", "-h", "--help"):
        about = words[1].lower() if len(words) > 1 else ""
        return Wanted("help", about=about if about in WORDS else "")
    if verb in NOT_HERE:
        raise InputError(NOT_HERE[verb])
    if verb not in WORDS:
        known = " It is a verb of the command line, not of chat." if verb in VERBS else ""
        raise InputError(
            f"unknown verb '{words[0][:40]}'{did_you_mean(verb, WORDS)}.{known} {COMMAND} help lists verbs"
        )
    if any(word in ("-h", "--help") for word in words[1:]):
        return Wanted("help", about=verb)
    return _wanted(verb, _parser(verb).read(words[1:]))


def _words(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise InputError(f"the command has {len(text):,} characters: the most is {LONGEST:,}")
    plain = _DASHES.sub("--", _unescaped(text).translate(_QUOTES))
    return list(_split(plain))


def _split(text: str) -> Iterator[str]:
    """Words as a shell has them, but for apostrophes.

    A single quote opens where a word or the value of an option begins, and closes where a word ends: elsewhere, and
    where none closes, it is an apostrophe (``don't``, ``the pods' memory``, ``'tis``). A backslash is itself, except
    before a quotation mark.

    Raises:
        InputError: a double quote is not closed.
    """
    word: str | None = None
    place, quoted = 0, False
    while place < len(text):
        piece = _PIECE.match(text, place)
        assert piece is not None
        kind, found = str(piece.lastgroup), piece[piece.lastgroup or 0]
        if kind == "open":
            raise InputError('a quotation mark (") is not closed: close it, or leave it out')
        if kind == "single" and not (quoted or _QUOTABLE.fullmatch(word or "")):
            kind, found = "plain", "'"
        place = place + 1 if kind == "plain" else piece.end()
        if kind == "space":
            if word is not None:
                yield word
            word, quoted = None, False
            continue
        word = (word or "") + (found.replace('\\"', '"') if kind == "double" else found)
        quoted = kind in ("double", "single")
    if word is not None:
        yield word


def _unescaped(text: str) -> str:
    """Slack turns addresses into links, and escapes three characters; both are taken back."""

    def plain(match: re.Match[str]) -> str:
        target, label = match["target"], match["label"]
        if target[:1] in "@#!":
            return f"{target[0]}{label or target[1:]}" if target else ""
        return label or target.removeprefix("mailto:")

    return _ESCAPED.sub(plain, text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


class _Parser(Parser):
    """The command line's parser under the name of the command."""

    def __init__(self, verb: str) -> None:
        super().__init__(verb, "")
        self.prog = f"{COMMAND} {verb}"

    def error(self, message: str) -> None:  # type: ignore[override]
        raise InputError(f"{message} ({COMMAND} help {self.prog.split()[1]} shows how)")


def _parser(verb: str) -> _Parser:
    parser = _Parser(verb)
    if verb == "list":
        parser.add_argument("--service")
    else:
        parser.add_argument("rollout", metavar="ROLLOUT")
    parser.add_argument("-e", "--environment")
    parser.add_argument("--region")
    if verb in READING:
        return parser
    # Without a default of its own, argparse calls it required wherever something else is missing.
    parser.add_argument("why", nargs="*", default=[])
    parser.add_argument("-m", "--reason", default="")
    if verb in (Verb.APPROVE, Verb.REJECT):
        parser.add_argument("--gate")
        parser.add_argument("--attempt", type=_number)
    if verb == Verb.APPROVE:
        parser.add_argument("--break-glass", action="store_true")
    if verb == Verb.EXTEND:
        parser.add_argument("--for", dest="longer", type=duration)
    return parser


def _wanted(verb: str, args: Args) -> Wanted:
    given = vars(args)
    why = " ".join(given.get("why") or [])
    if why and given.get("reason"):
        raise InputError(
            f"the reason is there twice, {given['reason']!r} by --reason and {why!r} beside it: "
            "put quotes around all of it, or leave --reason out"
        )
    reason = why or given.get("reason") or ""
    if verb == Verb.PROMOTE and not reason.strip():
        raise InputError(
            "promote overrides steps, gates and the proof of no harm: say why, as in: promote checkout WHY"
        )
    return Wanted(
        verb,
        rollout=given.get("rollout", ""),
        environment=given.get("environment"),
        region=given.get("region"),
        service=given.get("service"),
        reason=reason,
        gate=given.get("gate"),
        attempt=given.get("attempt"),
        longer=given.get("longer"),
        break_glass=bool(given.get("break_glass")),
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


_USAGE = {
    "list": "[--service NAME] [-e ENVIRONMENT]",
    "approve": "ROLLOUT [-e ENVIRONMENT] [--gate NAME] [--attempt N] [--break-glass] [REASON]",
    "reject": "ROLLOUT [-e ENVIRONMENT] [--gate NAME] [--attempt N] [REASON]",
    "extend": "ROLLOUT [-e ENVIRONMENT] [--for 45m] [REASON]",
    "promote": "ROLLOUT [-e ENVIRONMENT] REASON",
}


def help_lines(about: str = "") -> list[str]:
    """What can be typed: usage and meaning of one verb, or of each."""
    lines = []
    for verb in [about] if about and about != "help" else [word for word in WORDS if word != "help"]:
        default = "ROLLOUT [-e ENVIRONMENT]" + ("" if verb in READING else " [REASON]")
        lines.append(f"{COMMAND} {verb} {_USAGE.get(verb, default)}\n    {VERBS[verb].line}")
    return lines
