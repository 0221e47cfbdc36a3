"""Which series of ``http_requests_total`` are the service's own, where several services report to one store."""

from __future__ import annotations

import json
import re

from coalmine.cli._asking import Asking
from coalmine.cli._found_metrics import HTTP, FoundMetrics
from coalmine.errors import InputError
from coalmine.spec.selectors import parse_selector

ALL = "all"
TAKEN = ("version", "__name__")
"""Labels that the selectors match already."""
SHOWN = 12
"""Labels with values that a question lists."""
_UNQUOTED = re.compile(r'([A-Za-z_]\w*)=([^"\'=~,{}]+)')


def own_series(given: str | None, asking: Asking, found: FoundMetrics, service: str, version: str) -> str:
    """Matchers for the selectors of a spec, such as ``job="checkout"``; empty: all series are the service's.

    A label that is the service's name is believed if it has the live version. What else there is could be another
    service's: nobody guesses it.

    Args:
        given: what ``--series`` says.
        asking: for what nothing tells.
        found: in the store.
        service: its name.
        version: that is live.

    Raises:
        InputError: it is not told, or cannot be a selector's; names the flag.
    """
    if given is None:
        if found.service_label and (version in found.own_versions or version not in found.versions):
            return f"{found.service_label}={json.dumps(service, ensure_ascii=False)}"
        several = {label: values for label, values in found.labels.items() if len(values) > 1}
        # Versions of which none is the live one are another service's, though no other reports beside it.
        others = bool(found.versions) and version not in found.versions
        if not found.service_label and not several and not others:
            return ""
        why = f"no label of {HTTP} is {service!r}"
        if others:
            why += f", and none has version {version}"
            several = {label: values for label, values in found.labels.items() if values}
        if found.service_label:
            why = f"{HTTP} with {found.service_label}={service!r} has no version {version}, which other series have"
        pairs = [f'{label}="{value}"' for label, values in several.items() for value in values]
        # Those that look like the service's come first, and are no more than that.
        pairs.sort(key=lambda pair: service not in pair)
        question = f'{why}: say which series are its own, such as job="NAME" or job=~"NAME-.*", or \'{ALL}\''
        given = asking.text("--series", None, question, "", pairs[:SHOWN])
    if given.strip() == ALL:
        return ""
    plain = _UNQUOTED.fullmatch(given.strip())
    matchers = f'{plain[1]}="{plain[2]}"' if plain else given.strip().strip("{}")
    try:
        selector = parse_selector(f"{HTTP}{{{matchers}}}")
    except ValueError as error:
        raise InputError(
            f"--series: {given!r} are no matchers ({error}): write such as job=\"NAME\", or '{ALL}'"
        ) from None
    if not selector.matchers:
        raise InputError(f"--series: {given!r} says nothing: write such as job=\"NAME\", or '{ALL}'")
    for matcher in selector.matchers:
        if matcher.label in TAKEN:
            raise InputError(
                f"--series: {given!r}: {matcher.label} is what tells the arms and the metrics apart: name another label"
            )
    return ", ".join(map(str, selector.matchers))
