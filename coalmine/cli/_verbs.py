"""Every verb: where it lives and what it does, in one line. The modules are imported when a verb is used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One verb; its module has ``options(parser, verb)`` and ``run(args, out)``."""

    name: str
    module: str
    line: str
    group: str


_GROUPS: dict[str, list[tuple[str, str, str]]] = {
    "Write a spec": [
        ("init", "init", "write a first spec: asks, or takes flags; looks at your Prometheus and your route"),
        ("validate", "validate", "check specs; with --connect ask the router and the metric sources too"),
        ("plan", "plan", "show what a spec will do and when, before anything is done"),
        ("backtest", "backtest", "judge recorded looks by a spec: would it have been caught, and when"),
        ("simulate", "simulate", "judge a past period of a Prometheus; with --split count its false alarms"),
        ("schema", "schema", "print the JSON Schema of a spec, for editors"),
    ],
    "Release": [
        ("start", "start", "start a rollout, or attach to it when it runs already"),
        ("watch", "watch", "follow a rollout live; Ctrl-C detaches, the rollout goes on"),
        ("status", "status", "show where a rollout stands, and why"),
        ("list", "listing", "list rollouts: open ones, then the latest closed"),
        ("decisions", "decisions", "list every decision with its reason, and every refused input"),
        ("report", "report", "make a page of a rollout from the ledger: plots, decisions, diagnosis"),
        ("history", "history", "tell what happened, from Temporal's own history"),
        ("insights", "insights", "tell how releases went: DORA figures, false rollbacks, gates, lessons"),
        ("ledger", "ledger", "verify that nobody changed the ledger, or prune what is old"),
    ],
    "Say something to a rollout": [
        ("approve", "commands", "open the gate that waits, or a named one"),
        ("reject", "commands", "say no at a gate: the release goes back"),
        ("pause", "commands", "stop advancing; looks go on, and harm still rolls back"),
        ("resume", "commands", "go on after a pause or a hold"),
        ("extend", "commands", "lengthen the step, the bake or a deadline"),
        ("promote", "commands", "go to 100 % now, past steps, gates and the proof of no harm"),
        ("rollback", "commands", "restore the route as it was, and wait until it reads back right"),
    ],
    "Versions that may not start": [
        ("ban", "fleet", "keep automation from starting a version; --list shows the bans"),
        ("unban", "fleet", "lift a ban"),
    ],
    "Who rolls out when": [
        ("freeze", "freeze", "let nothing start, for a time; --brake holds or rolls back what is in flight"),
        ("unfreeze", "freeze", "lift a freeze"),
        ("slots", "slots", "show or limit how many rollouts run at once in an environment"),
        ("withdraw", "withdraw", "take a version that waits behind another out of the line"),
    ],
    "Run it": [
        ("worker", "worker", "run a worker in the foreground"),
        ("dashboard", "dashboard", "serve the live page and the HTTP API: fleet, rollouts, trends, and acting on them"),
        ("doctor", "doctor", "check Temporal, workers, clock, local programs, and a spec's sources"),
        ("guard", "guard", "watch for traffic that no live rollout owns; restore it, or tell people"),
        ("codec", "codec", "make a key for payloads; serve the Temporal UI what they hold"),
        ("flags", "flags", "serve feature flags to flagd and OFREP providers, from a file or S3"),
        ("xds", "xds", "tell Envoys on several hosts their routes by gRPC, and take weights for them"),
        ("keys", "keys", "make a key to sign decisions with; list the public ones for workers"),
        ("chat", "chat", "show rollouts in Slack, and take what people say to them there"),
        ("up", "stack", "start the local stack: Temporal, Envoy, Prometheus, demo service, worker"),
        ("down", "stack", "stop the local stack and leave nothing behind"),
        ("demo", "demo", "run a good and two bad releases on the local stack"),
        ("completion", "completion", "print a script that completes words for bash, zsh or fish"),
        ("load", "load", "send requests at a fixed rate and report latencies"),
    ],
}

VERBS: dict[str, Verb] = {
    name: Verb(name, f"coalmine.cli.{module}", line, group)
    for group, verbs in _GROUPS.items()
    for name, module, line in verbs
}
