"""What people say to a rollout: approve, reject, pause, resume, extend, promote, rollback."""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from coalmine.cli import _errors, _signing
from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser, duration

_EPILOG = "What may be said in which phase is in docs/commands.md. A refusal exits 2 and says why."


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    parser.add_speaker()
    _signing.options(parser, verb)
    if verb in ("approve", "reject"):
        parser.add_argument("--gate", metavar="NAME", help="the gate that is meant (default: the one that waits)")
        parser.add_argument(
            "--attempt", metavar="N", type=_number, help="refuse when the gate is at another attempt by now"
        )
    if verb == "extend":
        parser.add_argument(
            "--for", dest="longer", metavar="TIME", type=duration, help="how much longer (default: 30m)"
        )
    if verb == "rollback":
        parser.add_argument("--no-wait", action="store_true", help="do not wait until the route reads back right")
        parser.add_argument(
            "--timeout",
            metavar="TIME",
            type=duration,
            default=timedelta(seconds=60),
            help="how long to wait for that; then exit 7, the rollback goes on (default: 60s)",
        )
    parser.add_output()
    parser.epilog = _EPILOG


def run(args: Args, out: Output) -> int:
    """Say it."""
    from coalmine.cli._session import meant, on_connection
    from coalmine.cli._who import speaker
    from coalmine.client import Coalmine
    from coalmine.errors import InputError
    from coalmine.records import Verb

    if args.verb == "promote" and not args.reason.strip():
        raise InputError("promote overrides steps, gates and the proof of no harm: say why with --reason")
    key = _signing.signing_key(args)
    by, verb = speaker(args.by) if key is None else str(key["coalmine_sub"]), Verb(args.verb)

    async def said(coalmine: Coalmine) -> int:
        ref = await meant(coalmine, args)
        token = None if key is None else _signing.token(key, args, await coalmine.status(ref))
        receipt = await coalmine.send(
            ref,
            verb,
            by=by,
            reason=args.reason,
            gate=getattr(args, "gate", None),
            attempt=getattr(args, "attempt", None),
            longer=getattr(args, "longer", None),
            token=token,
            break_glass=getattr(args, "break_glass", False),
        )
        data: dict[str, Any] = {
            "workflow_id": ref.workflow_id,
            "verb": str(verb),
            "by": by,
            "message": receipt.message,
            "phase": str(receipt.phase),
        }
        if verb is Verb.ROLLBACK and not args.no_wait:
            out.say(f"{ref.workflow_id}: {receipt.message}")
            return await _await_restored(coalmine, args, out, data)
        out.data(data, f"{ref.workflow_id}: {receipt.message}")
        return _errors.DONE

    return on_connection(args, said)


async def _await_restored(coalmine: Any, args: Args, out: Output, data: dict[str, Any]) -> int:
    """Wait until the workflow says that the route reads back as it was."""
    from coalmine.cli._session import meant
    from coalmine.client import is_over
    from coalmine.errors import TemporalUnavailable

    status = None
    try:
        ref = await meant(coalmine, args)
        status = await coalmine.wait(ref, args.timeout)
    except TemporalUnavailable as error:
        out.say(str(error))
    confirmed = status is not None and is_over(status) and status.restored is not False
    data.update(
        confirmed=confirmed,
        phase=str(status.phase) if status else data["phase"],
        outcome=str(status.outcome) if status and status.outcome else None,
        cause=str(status.cause) if status and status.cause else None,
        weights=status.weights if status else {},
        exit=_errors.DONE if confirmed else _errors.UNCONFIRMED,
    )
    if confirmed and status is not None:
        traffic = ", ".join(f"{name} {weight:g} %" for name, weight in sorted(status.weights.items()))
        out.data(data, f"{data['workflow_id']}: the route reads back as it was ({traffic})")
        return _errors.DONE
    waited = f"{args.timeout.total_seconds():g} s"
    out.data(data, f"{data['workflow_id']}: NOT CONFIRMED after {waited}; the rollback goes on")
    out.say(f"follow it with: coalmine watch {data['workflow_id']}")
    return _errors.UNCONFIRMED


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)
