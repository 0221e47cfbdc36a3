"""``coalmine init``: a first spec, from flags, from what Prometheus and the route show, and from answers."""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.cli._first_spec import Answers
    from coalmine.cli._found_metrics import FoundMetrics


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("file", metavar="FILE", nargs="?", help="where to write it (default: SERVICE.yaml)")
    parser.add_argument("--service", metavar="NAME", help="the service")
    parser.add_place()
    parser.add_argument("--router", choices=("envoy",), default="envoy", help="the data plane (default: envoy)")
    parser.add_argument("--prometheus", metavar="URL", help="the Prometheus that has its metrics; it is asked for them")
    parser.add_argument("--scrape", metavar="TIME", default="15s", help="how often it scrapes (default: 15s)")
    parser.add_argument(
        "--template", choices=("envoy", "http"), help="Envoy's statistics or the service's own (default: as found)"
    )
    parser.add_argument("--baseline", metavar="VERSION[=BACKEND]", help="the version that is live, and its backend")
    parser.add_argument("--canary", metavar="VERSION[=BACKEND]", help="the version to release, and its backend")
    parser.add_argument("--route", metavar="NAME", help="the route configuration (default: the service's name)")
    parser.add_argument("--route-file", metavar="FILE", action="append", default=[], help="its file; repeatable")
    parser.add_argument("--admin", metavar="URL", action="append", default=[], help="an Envoy's admin; repeatable")
    parser.add_argument(
        "--steps", metavar="WEIGHTS", type=_weights, default=[1, 10, 25, 50], help="percents (default: 1,10,25,50)"
    )
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
    from coalmine.cli._first_spec import Answers
    from coalmine.cli._found_metrics import ENVOY, HTTP, look_at
    from coalmine.cli._found_route import backends_of
    from coalmine.errors import InputError
    from coalmine.spec.sources import Source
    from coalmine.spec.urls import url_problem

    asking = Asking(args.yes)
    url = asking.text("--prometheus", args.prometheus, "URL of the Prometheus", "")
    if problem := url_problem(
        url, "use username and password_env, or token_env, in `sources`", parameters=False, named=True
    ):
        raise InputError(f"--prometheus: {problem}")
    try:
        source = Source.model_validate({"url": url, "scrape": args.scrape})
    except ValidationError as error:
        raise InputError(f"--scrape: {args.scrape!r}: {error.errors()[0]['msg']}: write a time such as 15s") from None
    found = await look_at(source, args.service)
    families = ((ENVOY, found.clusters), (HTTP, found.versions))
    notes = [f"{family}: {', '.join(values[:8])}" for family, values in families if values]
    service = asking.text("--service", args.service, "name of the service", found=found.services[:12])
    if args.service is None:
        found = await look_at(source, service)
    environment = asking.text("--environment", args.environment, "environment", "")
    if args.template is None and not found.clusters and not found.versions:
        raise InputError(
            f"--template: {url} has neither {ENVOY} nor {HTTP} with the label version (of the last hour): is the "
            "service scraped? Say --template envoy or http to write the spec all the same"
        )
    template = args.template or asking.text(
        "--template", None, "which metrics", "envoy" if found.clusters else "http", ("envoy", "http")
    )
    name = asking.text("--route", args.route, "name of the route configuration", service)
    files = asking.several("--route-file", args.route_file, "route files, on the worker's disk")
    admins = asking.several("--admin", args.admin, "admin addresses of the Envoys, such as http://127.0.0.1:9901")
    live, other, of_route = backends_of(files, name)
    if of_route:
        notes.append(f"route {name}: {of_route}")
    arms = []
    likely = [one for one in found.clusters if service in one] or list(found.clusters)
    for flag, given, backend, what in (
        ("--baseline", args.baseline, live, "that is live"),
        ("--canary", args.canary, other, "to release"),
    ):
        told = asking.text(flag, given, f"version {what}, as VERSION or VERSION=BACKEND", "", found.versions[:8])
        version, equals, named = told.partition("=")
        chosen = named if equals else asking.text(f"{flag} VERSION=BACKEND", None, f"backend {what}", backend, likely)
        arms.append((version.strip(), chosen.strip()))
    answers = Answers(
        service=service,
        environment=environment,
        region=args.region,
        baseline=arms[0],
        canary=arms[1],
        route=name,
        files=files,
        admins=admins,
        weights=args.steps,
        template=template,
        latency=_has_times(found, template),
        max_errors=args.max_errors,
        objective=args.objective,
        approvers=args.approver,
        prometheus=url,
        scrape=args.scrape,
        service_label=found.service_label if template == "http" else "",
        code_label=found.code_label or "code",
    )
    return answers, notes


def _has_times(found: FoundMetrics, template: str) -> bool:
    """Whether there is a histogram; where nothing was found at all, the template is taken at its word."""
    if template == "envoy":
        return found.cluster_times or not found.clusters
    return found.version_times or not found.versions


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
