"""``coalmine report``: a page of one rollout, from the ledger alone."""

from __future__ import annotations

import sys
from pathlib import Path

from coalmine.cli._ledger_place import add_ledger, meant_in_ledger
from coalmine.cli._output import Output, plain
from coalmine.cli._parser import Args, Parser
from coalmine.harmless import harmless

FORMS = ("html", "md", "text", "json")


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("rollout", metavar="ROLLOUT", help="a rollout id, or a service: its latest rollout")
    parser.add_place()
    add_ledger(parser)
    parser.add_argument("--file", metavar="PATH", help="write it there instead of to stdout")
    parser.add_output(FORMS, default="md")
    parser.epilog = (
        "Reads the ledger only: neither Temporal nor a worker is needed. html is one file that loads nothing; text has "
        "plots for a terminal, in ASCII and without colour where it has no more (NO_COLOR, TERM=dumb)."
    )


def run(args: Args, out: Output) -> int:
    """Read, put together and print."""
    import asyncio

    from coalmine.report import as_html, as_markdown, tell

    story = tell(asyncio.run(meant_in_ledger(args))[1])
    if args.output == "json" and args.file is None:
        out.data(plain(story), "")
        return 0
    if args.output == "text":
        from coalmine.cli._report_text import lines, show

        found = lines(story)
        if args.file is None:
            show(found)
            return 0
    text = (
        "".join(f"{line.text}\n" for line in found)
        if args.output == "text"
        else as_html(story)
        if args.output == "html"
        else as_markdown(story)
        if args.output == "md"
        else story.model_dump_json(indent=2) + "\n"
    )
    if args.file is None:
        sys.stdout.write(text if args.output == "html" else harmless(text))
        return 0
    _write(Path(args.file), text)
    out.say(f"wrote {args.file}: {story.sentence}")
    return 0


def _write(path: Path, text: str) -> None:
    from coalmine.errors import InputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--file: {path} cannot be written: {error.strerror or error}") from None
