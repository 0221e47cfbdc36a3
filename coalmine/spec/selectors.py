"""PromQL series selectors as ``events``, ``total`` and ``buckets`` hold them: ``name{label="value", ...}``.

A selector names raw counters, so nothing may stand around it: no function, range, offset or operator. The grammar is
Prometheus' own for instant vector selectors, quoted metric and label names (UTF-8) included.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from coalmine.spec.canary import Arm

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OPERATOR = re.compile(r"=~|!~|!=|=")
_SPACE = re.compile(r"\s*")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_NOT_RE2 = re.compile(r"(?<!\\)(?:\\\\)*(\(\?(?:[=!>#(]|<[=!]|P=)|\\[1-9]|[*+?}]\+)")
"""What Python's regular expressions know and RE2, which a metric store has, does not."""
_REGEX_SPECIAL = re.compile(r"([.+*?()|\[\]{}^$\\])")
PLACEHOLDERS = ("arm.version", "arm.backend")


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; ``operator`` is ``=`` ``!=`` ``=~`` or ``!~`` (regular expressions match wholly)."""

    label: str
    operator: str
    value: str

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels meets the condition; an absent label is the empty text."""
        have = labels.get(self.label, "")
        if self.operator in ("=", "!="):
            return (have == self.value) == (self.operator == "=")
        return (re.fullmatch(self.value, have) is not None) == (self.operator == "=~")

    def __str__(self) -> str:
        label = self.label if _LABEL.fullmatch(self.label) else json.dumps(self.label, ensure_ascii=False)
        return f"{label}{self.operator}{_quote(self.value)}"


@dataclass(frozen=True)
class Selector:
    """A parsed selector; ``name`` is empty when only matchers name the metric."""

    name: str
    matchers: tuple[Matcher, ...] = field(default=())

    def accepts(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels (``__name__`` among them) is selected."""
        if self.name and labels.get("__name__") != self.name:
            return False
        return all(matcher.accepts(labels) for matcher in self.matchers)

    def with_names(self, names: Sequence[str]) -> Selector:
        """The same matchers over several metric names."""
        return Selector("", (Matcher("__name__", "=~", "|".join(map(escape_regex, names))), *self.matchers))

    def __str__(self) -> str:
        plain = _NAME.fullmatch(self.name) is not None
        items = [str(matcher) for matcher in self.matchers]
        if self.name and not plain:
            items.insert(0, _quote(self.name))
        return (self.name if plain else "") + ("{" + ",".join(items) + "}" if items else "")


def parse_selector(text: str) -> Selector:
    """Parse one selector.

    Raises:
        ValueError: not a plain selector; says what stands where it should not.
    """
    reader = _Reader(text)
    name = reader.take(_NAME)
    matchers: list[Matcher] = []
    if reader.skip("("):
        raise ValueError(f"{text!r} calls {name or 'an expression'}: write the counter alone, raw samples are read")
    if reader.skip("{"):
        while not reader.skip("}"):
            quoted = reader.quoted()
            label = quoted if quoted is not None else reader.take(_LABEL)
            if not label:
                raise ValueError(f"{text!r}: expected a label name at {reader.rest()!r}")
            operator = reader.take(_OPERATOR)
            if operator:
                value = reader.quoted()
                if value is None:
                    raise ValueError(f"{text!r}: the value of label {label!r} must be in quotes, at {reader.rest()!r}")
                matchers.append(Matcher(label, operator, value))
            elif quoted is not None and not name:
                name = quoted
            else:
                raise ValueError(f"{text!r}: expected =, !=, =~ or !~ after label {label!r}, at {reader.rest()!r}")
            if not reader.skip(",") and not reader.peek("}"):
                raise ValueError(f"{text!r}: expected , or }} at {reader.rest() or 'the end'!r}")
    if rest := reader.rest():
        what = "a range, offset or operator" if rest[0] in "[@+-*/%^<>=!" or rest.startswith("offset") else "this"
        raise ValueError(f"{text!r}: {what} may not follow a selector ({rest!r}); write the counter alone")
    if not name and not any(matcher.operator in ("=", "=~") and matcher.value for matcher in matchers):
        raise ValueError(f'{text!r} names no metric: write a selector such as http_requests_total{{version="..."}}')
    return Selector(name, tuple(matchers))


def fill_selector(selector: Selector, arm: Arm) -> Selector:
    """Put an arm in place of ``{arm.version}`` and ``{arm.backend}``, taken literally also in regular expressions.

    Raises:
        ValueError: another ``{arm....}`` placeholder; lists those there are.
    """
    values = {"arm.version": arm.version, "arm.backend": arm.backend}

    def fill(matcher: Matcher) -> Matcher:
        def value(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name not in values:
                if not name.startswith("arm"):
                    return match[0]
                known = ", ".join("{" + known + "}" for known in PLACEHOLDERS)
                raise ValueError(f"{match[0]!r} in {str(selector)!r} is not known: use {known}")
            return escape_regex(values[name]) if "~" in matcher.operator else values[name]

        return Matcher(matcher.label, matcher.operator, _PLACEHOLDER.sub(value, matcher.value))

    return Selector(selector.name, tuple(map(fill, selector.matchers)))


def fill_text(text: str, arm: Arm) -> str:
    """Put an arm in place of the placeholders in any text; its names hold no quotes, spaces or braces."""
    return _PLACEHOLDER.sub(
        lambda match: {"arm.version": arm.version, "arm.backend": arm.backend}.get(match[1].strip(), match[0]), text
    )


def escape_regex(text: str) -> str:
    """``text`` as a regular expression (RE2) that matches it literally."""
    return _REGEX_SPECIAL.sub(r"\\\1", text)


def broken_regex(selector: Selector) -> str | None:
    """What is wrong with a regular expression that the store, or we ourselves, could not match by; None = nothing."""
    for matcher in selector.matchers:
        if "~" not in matcher.operator:
            continue
        of_label = f"the regular expression {matcher.value!r} of label {matcher.label!r}"
        if beyond := _NOT_RE2.search(matcher.value):
            return f"{of_label} has {beyond[1]!r}, which RE2 has not: write it without"
        try:
            with warnings.catch_warnings(action="error"):
                re.compile(matcher.value)
        except (re.error, FutureWarning, OverflowError, RecursionError) as error:
            return f"{of_label} is none: {error}"
    return None


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._space()

    def _space(self) -> None:
        if match := _SPACE.match(self.text, self.at):
            self.at = match.end()

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        self._space()
        return match[0]

    def peek(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def skip(self, token: str) -> bool:
        if not self.peek(token):
            return False
        self.at += len(token)
        self._space()
        return True

    def rest(self) -> str:
        return self.text[self.at :].rstrip()

    def quoted(self) -> str | None:
        mark = self.text[self.at : self.at + 1]
        if mark not in ('"', "'", "`") or not mark:
            return None
        out: list[str] = []
        at = self.at + 1
        while at < len(self.text):
            char = self.text[at]
            if char == mark:
                self.at = at + 1
                self._space()
                return "".join(out)
            if char == "\\" and mark != "`":
                at += 1
                escaped = self.text[at : at + 1]
                if escaped not in ("\\", '"', "'", *_ESCAPES):
                    raise ValueError(f"{self.text!r}: unknown escape \\{escaped} (write \\\\ for a backslash)")
                char = _ESCAPES.get(escaped, escaped)
            out.append(char)
            at += 1
        raise ValueError(f"{self.text!r}: the quote {mark} opened at {self.text[self.at :]!r} is not closed")
