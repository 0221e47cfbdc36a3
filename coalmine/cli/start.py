"""``coalmine start``: submit a spec, and watch what becomes of it when asked to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from coalmine.cli import _errors, _signing
from coalmine.cli._ci_files import CiFiles
from coalmine.cli._output import Output, pairs
from coalmine.cli._parser import FORMS, Args, Parser, duration
from coalmine.cli._watch_options import watch_options

DEPLOYMENT_VARIABLE = "COALMINE_DEPLOYMENT"


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("file", metavar="FILE", help="the spec; - reads stdin")
    parser.add_argument("--advise", action="store_true", help="judge and report, but never shift traffic")
    parser.add_argument(
        "--during-freeze", action="store_true", help="start though it is frozen; people are told, say why with -m"
    )
    parser.add_argument(
        "--author",
        metavar="WHO",
        action="append",
        default=[],
        help="who wrote the change (repeatable): four_eyes does not count them",
    )
    parser.add_argument(
        "--deployment",
        metavar="NUMBER",
        help="the deployment of GitHub or GitLab whose status the worker keeps up to date (default: "
        f"{DEPLOYMENT_VARIABLE})",
    )
    _signing.options(parser, verb)
    stay = parser.add_mutually_exclusive_group()
    stay.add_argument("--watch", action="store_true", help="stay until the outcome; the exit code tells it")
    stay.add_argument(
        "--wait",
        action="store_true",
        help="the same in fewer words: a progress bar, in logs a line per stage and at least one a minute",
    )
    watch_options(parser)
    parser.add_speaker()
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--automated",
        action="store_true",
        default=None,
        help="automation starts it: banned versions are refused (default: when CI is set)",
    )
    who.add_argument("--no-automated", dest="automated", action="store_false", help="a person starts it")
    parser.add_argument(
        "--start-within",
        metavar="TIME",
        type=duration,
        default=timedelta(seconds=30),
        help="how long to wait for a worker, and for admission (default: 30s)",
    )
    parser.add_connection()
    parser.add_output((*FORMS, "jsonl"))
    parser.epilog = (
        "Starting the same version again attaches to it, or tells that it was promoted. Exit codes: docs/cli.md."
    )


def run(args: Args, out: Output) -> int:
    """Start, and maybe watch."""
    import os

    from coalmine.cli._ci_annotations import annotate_refusal, annotating
    from coalmine.cli._deployment import with_deployment
    from coalmine.cli._session import on_connection
    from coalmine.cli._specs import read_spec
    from coalmine.cli._watching import Watcher
    from coalmine.cli._who import automated, speaker
    from coalmine.client import Coalmine, RolloutRef
    from coalmine.errors import InputError
    from coalmine.records import Receipt, canary_id

    stays = args.watch or args.wait
    files = CiFiles(args, out)
    with files.telling_failures(), annotating(args.file, out):
        if not stays and (args.timeout is not None or args.leave_when_held is not None):
            raise InputError(
                "--timeout, --leave-when-held and --stay-when-held are for watching: add --watch or --wait"
            )
        if args.during_freeze and not args.reason.strip():
            raise InputError("--during-freeze needs a reason: say with -m why this release cannot wait")
        spec = with_deployment(read_spec(args.file), args.deployment, os.environ.get(DEPLOYMENT_VARIABLE, ""))
        signer, token = _signing.start_proof(args, spec)
        by, by_machine = signer or speaker(args.by), automated(args.automated)
    watcher = Watcher(out, args, files)

    async def started(coalmine: Coalmine) -> int:
        watcher.about, watcher.starting = canary_id(spec.environment, spec.service, spec.region), True
        receipt: Receipt = await coalmine.start(
            spec,
            by=by,
            automated=by_machine,
            reason=args.reason,
            advise=args.advise,
            during_freeze=args.during_freeze,
            authors=args.author,
            token=token,
            within=args.start_within,
        )
        watcher.starting = False
        link = coalmine.ui_link(receipt.workflow_id, receipt.run_id)
        on_its_way = receipt.disposition in ("started", "attached", "queued")
        if not (stays and on_its_way):
            if receipt.disposition in ("blocked", "rejected"):
                annotate_refusal(receipt, spec, args.file, out)
            return _tell(receipt, link, out, files)
        out.say(_text(receipt, link))
        return await watcher.watch(coalmine, RolloutRef(receipt.workflow_id), receipt.version)

    try:
        with files.telling_failures():
            return on_connection(args, started)
    except KeyboardInterrupt:
        if not watcher.about:
            raise  # Nothing was asked for yet.
        return watcher.finish("detached")


def _tell(receipt: Any, link: str | None, out: Output, files: CiFiles) -> int:
    from coalmine.cli._output import plain

    outcome = {"promoted": "promoted", "blocked": "blocked", "rejected": "blocked"}.get(receipt.disposition)
    code = _errors.BLOCKED if outcome == "blocked" else _errors.DONE
    # Only a decided outcome has a code: a rollout on its way is neither promoted nor not.
    data = {**plain(receipt), "outcome": outcome, "cause": None, "exit": code if outcome else None, "url": link}
    out.data(data, _text(receipt, link))
    files.started(receipt, outcome, data["exit"], link, _text(receipt, link))
    if not outcome:
        out.say(f"follow it with: coalmine watch {receipt.workflow_id}")
    return code


def _text(receipt: Any, link: str | None) -> str:
    head = {
        "started": "started",
        "attached": "it runs already: attached",
        "promoted": "promoted already",
        "blocked": "blocked, nothing was touched",
        "queued": "accepted, and waits",
        "rejected": "not started: another rollout is running",
    }[receipt.disposition]
    failed = [check for check in receipt.checks if not check.ok]
    facts = {
        "rollout": receipt.rollout_id,
        "workflow": receipt.workflow_id,
        "reason": receipt.reason if not failed else "",
        "refused": "\n".join(f"{check.name}: {check.reason}" for check in failed),
        "page": link or "",
    }
    return f"{receipt.workflow_id.removeprefix('canary/')} {receipt.version}: {head}\n{pairs(facts)}"
