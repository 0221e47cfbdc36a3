"""The root of the command line: find the verb, read its options, run it, and say what went wrong in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from coalmine.cli import _errors
from coalmine.cli._cancelling import cancelled_as_by_ctrl_c
from coalmine.cli._output import Output
from coalmine.cli._parser import Parser, did_you_mean
from coalmine.cli._verbs import VERBS
from coalmine.errors import InputError

TAGLINE = "Canary releases as durable Temporal workflows: shift, watch, judge, promote or roll back."


def run(words: list[str]) -> int:
    """Run ``coalmine WORDS``.

    Returns:
        The exit code; nothing but an unfinished process is raised.
    """
    out = Output(_wanted_form(words))
    with cancelled_as_by_ctrl_c(words[0] if words else ""):
        try:
            return _run(words, out)
        finally:
            # Who is cancelled now has its exit code already.
            with suppress(KeyboardInterrupt):
                _send_traces(out)


def _send_traces(out: Output) -> None:
    """When all is said: a collector that hangs keeps nobody waiting for an answer."""
    # Loaded only by verbs that connect.
    tracing = sys.modules.get("coalmine.telemetry.starting")
    if tracing is not None and not tracing.finish():
        out.say(f"the trace was not taken within {tracing.LAST_WORDS:g} s: is the collector up?")


def _run(words: list[str], out: Output) -> int:
    try:
        code = _dispatch(words, out)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        out.say("interrupted")
        return _errors.DETACHED
    except BrokenPipeError:
        # Whoever read us has gone: nothing more can be printed, not even by the interpreter's own last flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _errors.BROKEN_PIPE
    except Exception as error:
        if _errors.debugging():
            import traceback

            traceback.print_exc()
        out.say(_errors.line(error))
        if out.is_json:
            # Where nobody can be told, the code still says it.
            with suppress(OSError):
                out.line(_errors.as_object(error), "")
        return _errors.exit_code(error)


def _dispatch(words: Sequence[str], out: Output) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        if len(words) > 1 and words[1] in VERBS:
            return _dispatch([words[1], "--help"], out)
        print(overview())
        return _errors.DONE if words else _errors.USAGE
    if words[0] in ("-V", "--version"):
        from coalmine import __version__

        print(f"coalmine {__version__}")
        return _errors.DONE
    verb = VERBS.get(words[0])
    if verb is None:
        raise _unknown(words[0])
    module: Any = import_module(verb.module)
    parser = Parser(verb.name, verb.line)
    module.options(parser, verb.name)
    try:
        args = parser.read(words[1:])
    except SystemExit as ended:  # argparse's --help
        return int(ended.code or 0)
    args.verb = verb.name
    out.form = args.output
    return int(module.run(args, out))


def _unknown(word: str) -> InputError:
    if word.startswith("-"):
        return InputError(f"unknown option {word}: options stand after the verb (coalmine --help lists verbs)")
    return InputError(f"unknown verb '{word}'{did_you_mean(word, VERBS)} (coalmine --help lists verbs)")


def _wanted_form(words: Sequence[str]) -> str:
    """The form errors take, also when the words cannot be parsed."""
    for at, word in enumerate(words):
        value = word.split("=", 1)[1] if word.startswith("--output=") else ""
        if word in ("-o", "--output") and at + 1 < len(words):
            value = words[at + 1]
        elif word.startswith("-o") and len(word) > 2 and not word.startswith("--"):
            value = word[2:]
        if value in ("json", "jsonl"):
            return value
    return "table"


def overview() -> str:
    """The root help page."""
    lines = ["usage: coalmine VERB [options]", "", TAGLINE]
    group = ""
    for verb in VERBS.values():
        if verb.group != group:
            group = verb.group
            lines += ["", f"{group}:"]
        lines.append(f"  {verb.name:<10} {verb.line}")
    lines += [
        "",
        "coalmine VERB --help shows a verb's options. -o json on every verb: stdout is data, stderr is for people.",
        "Temporal is found as the temporal CLI finds it (TEMPORAL_ADDRESS, profiles), else the local stack that is up.",
    ]
    return "\n".join(lines)
