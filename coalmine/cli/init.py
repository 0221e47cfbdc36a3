"""``coalmine init``: a first spec, from flags, from what Prometheus and the route show, and from answers."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine.cli._first_route import add_options
from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.cli._asking import Asking
    from coalmine.cli._first_route import Plane
    from coalmine.cli._first_spec import Answers
    from coalmine.cli._found_metrics import FoundMetrics


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="where to write it (default: SERVICE.yaml)")
    parser.add_argument("--service", metavar="NAME", help="the service")
    parser.add_place()
    add_options(parser)
    parser.add_argument("--prometheus", metavar="URL", help="the Prometheus that has its metrics; it is asked for them")
    parser.add_argument("--scrape", metavar="TIME", default="15s", help="how often it scrapes (default: 15s)")
    parser.add_argument(
        "--template",
        choices=("envoy", "haproxy", "traefik", "http"),
        help="the proxy's metrics, or the service's own: http (default: as found)",
    )
    parser.add_argument(
        "--series", metavar="MATCHERS", help="which of the service's own metrics are its own: job=NAME, or all"
    )
    parser.add_argument("--total", metavar="SELECTOR", help="all requests of an arm, instead of a template")
    parser.add_argument("--errors", metavar="SELECTOR", help="those of them that failed")
    parser.add_argument("--baseline", metavar="VERSION[=BACKEND]", help="the version that is live, and its backend")
    parser.add_argument("--canary", metavar="VERSION[=BACKEND]", help="the version to release, and its backend")
    parser.add_argument("--steps", metavar="WEIGHTS", type=_weights, help="percents (default: 1,10,25,50)")
    parser.add_argument("--max-errors", metavar="SHARE", type=_share, default=0.02, help="such as 2%% (the default)")
    parser.add_argument(
        "--objective", metavar="TIME=SHARE", type=_objective, default=("250ms", 0.99), help="default: 250ms=99%%"
    )
    parser.add_argument(
        "--approver", metavar="WHO", action="append", default=[], help="who approves the last step; repeatable"
    )
    parser.add_argument("--yes", action="store_true", help="take what is found without asking")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_output()
    parser.epilog = "Asks at a terminal for what no flag says; elsewhere that is one error. Then it runs plan."


def run(args: Args, out: Output) -> int:
    """Look, ask, write, plan."""
    import asyncio

    from coalmine.cli._first_spec import as_yaml
    from coalmine.cli._specs import foreign_adapters
    from coalmine.errors import InputError
    from coalmine.spec.document import parse_spec

    if args.file is not None:
        _free(Path(args.file), args.force)
    answers, notes = asyncio.run(_answers(args))
    path = Path(args.file or f"{answers.service}.yaml")
    text = as_yaml(answers)
    # What was answered may be no spec: said before anything is written.
    spec = parse_spec(text, str(path), foreign_adapters())
    _free(path, args.force)
    try:
        with path.open("w" if args.force else "x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from None
    for note in notes:
        out.say(f"found: {note}")
    out.say(f"wrote {path}")
    planned = _plan(str(path), out)
    if out.is_json:
        data = {"file": str(path), "service": spec.service, "found": notes, "plan": planned, "exit": 0}
        out.data(data, "")
    return 0


def _free(path: Path, force: bool) -> None:
    from coalmine.errors import InputError

    if path.exists() and not force:
        raise InputError(f"{path} is there already: name another file, or overwrite it with --force")


async def _answers(args: Args) -> tuple[Answers, list[str]]:
    from pydantic import ValidationError

    from coalmine.cli._asking import Asking
    from coalmine.cli._first_route import PLANES, check_flags, name_of, route_lines, steps_of, values_of
    from coalmine.cli._first_spec import Answers
    from coalmine.cli._found_metrics import FAMILIES, HTTP, look_at
    from coalmine.cli._found_route import backends_of
    from coalmine.cli._own_series import own_series
    from coalmine.errors import InputError
    from coalmine.spec.sources import Source
    from coalmine.spec.urls import url_problem

    check_flags(args)
    asking = Asking(args.yes)
    plane = PLANES[args.router]
    url = asking.text("--prometheus", args.prometheus, "URL of the Prometheus", "")
    if problem := url_problem(
        url, "use username and password_env, or token_env, in `sources`", parameters=False, named=True
    ):
        raise InputError(f"--prometheus: {problem}")
    try:
        source = Source.model_validate({"url": url, "scrape": args.scrape})
    except ValidationError as error:
        raise InputError(f"--scrape: {args.scrape!r}: {error.errors()[0]['msg']}: write a time such as 15s") from None
    found = await look_at(source, args.service, plane.template)
    families = [(HTTP, found.versions)]
    if own := FAMILIES.get(plane.template):
        families.insert(0, (own.requests, found.backends))
    notes = [f"{family}: {', '.join(values[:8])}" for family, values in families if values]
    service = asking.text("--service", args.service, "name of the service", found=found.services[:12])
    if args.service is None:
        found = await look_at(source, service, plane.template)
    environment = asking.text("--environment", args.environment, "environment", "")
    template, errors = _errors(args, asking, plane, found, url)
    name = name_of(args, asking, service)
    values = values_of(args, asking)
    live, other, of_route = backends_of(values["files"], name) if args.router == "envoy" else ("", "", "")
    if of_route:
        notes.append(f"route {name}: {of_route}")
    arms = []
    likely = [one for one in found.backends if service in one] or list(found.backends)
    for flag, given, backend, what in (
        ("--baseline", args.baseline, live, "that is live"),
        ("--canary", args.canary, other, "to release"),
    ):
        told = asking.text(flag, given, f"version {what}, as VERSION or VERSION=BACKEND", "", found.versions[:8])
        version, equals, named = told.partition("=")
        chosen = named if equals else asking.text(f"{flag} VERSION=BACKEND", None, f"backend {what}", backend, likely)
        arms.append((version.strip(), chosen.strip()))
    latency = "" if plane.one_program else _times(found, template)
    series = ""
    if "http" in (template, latency):
        series = own_series(args.series, asking, found, service, arms[0][0])
    elif args.series is not None:
        read = f"{template}'s" if template else "what --total and --errors say"
        raise InputError(f"--series: it is of {HTTP}, and what is read is {read}: leave it out")
    answers = Answers(
        service=service,
        environment=environment,
        region=args.region,
        baseline=arms[0],
        canary=arms[1],
        route=route_lines(args.router, name, values),
        weights=args.steps or steps_of(values),
        template=template,
        latency=latency,
        max_errors=args.max_errors,
        objective=args.objective,
        approvers=args.approver,
        prometheus=url,
        scrape=args.scrape,
        own=series,
        code_label=found.code_label or "code",
        errors=errors,
    )
    return answers, notes


def _errors(args: Args, asking: Asking, plane: Plane, found: FoundMetrics, url: str) -> tuple[str, tuple[str, str]]:
    """The template, or selectors: what was said, or what the store shows; nothing is made up."""
    from coalmine.cli._found_metrics import FAMILIES, HTTP
    from coalmine.errors import InputError

    shown = [name for name in plane.templates if (found.versions if name == "http" else found.backends)]
    if args.total is None and args.errors is None and (args.template or shown):
        return args.template or asking.text("--template", None, "which metrics", shown[0], plane.templates), ("", "")
    if args.template:
        raise InputError("--template: --total and --errors say what is read: leave one of the two out")
    if args.total is None and args.errors is None and plane.template:
        own = FAMILIES[plane.template].requests
        raise InputError(
            f"--template: {url} has neither {own} nor {HTTP} with the label version (of the last hour): is the "
            f"service scraped? Say --template {' or '.join(plane.templates)} to write the spec all the same, or what "
            "else counts it by --total and --errors"
        )
    why = "" if shown or plane.one_program else f"; {url} has no {HTTP} with the label version, of the last hour"
    tells = '{variant="{arm.backend}"}' if plane.one_program else '{version="{arm.version}"}'
    example = f"such as my_requests_total{tells}"
    total = asking.text("--total", args.total, f"selector of all requests of an arm, {example}{why}")
    return "", (total, asking.text("--errors", args.errors, "selector of those of them that failed"))


def _times(found: FoundMetrics, template: str) -> str:
    """Whose histogram is read, the proxy's before the service's; where nothing was found, the template is believed."""
    from coalmine.cli._found_metrics import FAMILIES

    own = FAMILIES.get(template)
    if own is not None and own.times and (found.backend_times or not found.backends):
        return template
    if template == "http" and not found.versions:
        return "http"
    # Of a proxy without one, such as HAProxy, the service may have its own.
    return "http" if found.version_times and (own is None or not own.times) else ""


def _plan(file: str, out: Output) -> Any:
    """The plan with what the live version does now; without, where that cannot be read."""
    from coalmine.cli import plan
    from coalmine.errors import CoalmineError

    kept = _Kept(out)
    for words in ([file, "--connect"], [file]):
        parser = Parser("plan", "")
        plan.options(parser, "plan")
        try:
            plan.run(parser.read(words), kept)
            return kept.kept
        except CoalmineError as error:
            out.say(f"no forecast: {str(error).removeprefix('--connect: ')}")
    return None


class _Kept(Output):
    """Prints text, and keeps data for a JSON object of our own."""

    def __init__(self, out: Output) -> None:
        super().__init__(out.form)
        self.kept: Any = None

    def data(self, value: Any, text: str) -> None:
        """See ``Output``."""
        self.kept = value
        if not self.is_json:
            super().data(value, "\n" + text)


def _weights(text: str) -> list[float]:
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    rising = all(low < high for low, high in pairwise(weights))
    if not weights or not rising or not 0 < weights[0] <= weights[-1] < 100:
        raise argparse.ArgumentTypeError(f"{text!r} are no steps: give rising percents below 100, such as 1,10,50")
    return weights


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give one above 0 and below 100 %, such as 2% or 0.02")
    return value


def _objective(text: str) -> tuple[str, float]:
    from coalmine.cli._parser import duration

    under, equals, share = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not TIME=SHARE: such as 250ms=99%")
    duration(under)
    return under, _share(share)
