"""Scripts for shells, made by shtab from the parsers of all verbs.

Only here all verbs are loaded at once: whoever uses one waits for that one alone.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any

import shtab

from coalmine.cli._app import TAGLINE
from coalmine.cli._parser import Parser
from coalmine.cli._verbs import VERBS

PROGRAM = "coalmine"
_PATHS = frozenset({"FILE", "PATH", "SPEC", "TRACE", "PEM"})
"""What help pages call a path."""
_SERVICES = {"bash": "_coalmine_services", "zsh": "_coalmine_services"}
_PREAMBLE = {
    "bash": """_coalmine_services() {
  compgen -W "$(coalmine list --open 2>/dev/null | awk 'NR > 1 { print $1 }' | sort -u)" -- "$1"
}""",
    "zsh": """_coalmine_services() {
  compadd -- ${(f)"$(coalmine list --open 2>/dev/null | awk 'NR > 1 { print $1 }' | sort -u)"}
}""",
}
"""Asks Temporal which services have an open rollout; without one nothing is offered."""
_WHERE = {
    "bash": "# coalmine completion bash > ~/.local/share/bash-completion/completions/coalmine",
    "zsh": "# coalmine completion zsh > ~/.zsh/_coalmine, in a folder of $fpath",
    "fish": "# coalmine completion fish > ~/.config/fish/completions/coalmine.fish",
}


def script(shell: str) -> str:
    """The script for one of shtab's shells."""
    made = shtab.complete(whole_parser(), shell, preamble=_PREAMBLE.get(shell, ""))
    # zsh reads the first line itself: it names the command.
    first, _, rest = made.partition("\n")
    return f"{first}\n{_WHERE[shell]}\n{rest}" if first.startswith("#compdef") else f"{_WHERE[shell]}\n{made}"


def whole_parser() -> argparse.ArgumentParser:
    """All verbs as one parser, as shtab wants them."""
    root = argparse.ArgumentParser(prog=PROGRAM, description=TAGLINE)
    root.add_argument("-V", "--version", action="store_true", help="print the version")
    verbs = root.add_subparsers(dest="verb", parser_class=_VerbParser)
    for verb in VERBS.values():
        module: Any = import_module(verb.module)
        parser = verbs.add_parser(verb.name, verb=verb.name, line=verb.line, help=verb.line)
        module.options(parser, verb.name)
        _say_values(parser)
    return root


class _VerbParser(Parser):
    """A verb's parser as argparse makes those of subcommands: with a ``prog`` that we choose ourselves."""

    def __init__(self, verb: str, line: str, prog: str = "") -> None:
        super().__init__(verb, line)


def _say_values(parser: argparse.ArgumentParser) -> None:
    """What may stand there, as far as the name on the help page tells; shtab reads it from the action."""
    for action in parser._actions:
        complete = shtab.FILE if action.metavar in _PATHS else _SERVICES if action.metavar == "ROLLOUT" else None
        if complete is not None:
            action.complete = complete  # type: ignore[attr-defined]
