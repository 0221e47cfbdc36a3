"""What pydantic found, in words that name the value and the mend."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date

from pydantic_core import ErrorDetails

from coalmine.spec.base import IDENTIFIER
from coalmine.spec.faults import Path, did_you_mean, listed, shown
from coalmine.spec.later import is_later_value, same_as

Spelling = Callable[[Path], str | None]
"""How the value at a path was written in the file; None when that is not known."""

_QUOTED = re.compile(r"'([^']*)'")


def worded(error: ErrorDetails, path: Path, spelled: Spelling) -> str:
    """One sentence for one error of pydantic's at ``path``."""
    value, context = error.get("input"), error.get("ctx", {})
    if error["type"] == "missing":
        return "is missing"
    if value is None:
        return "is empty: write its value, or leave the key out"
    match error["type"]:
        case "literal_error":
            return _literal(path, value, _QUOTED.findall(str(context.get("expected", ""))))
        case "string_type":
            return _not_text(path, value, spelled(path))
        case "float_type" | "int_type" | "int_from_float" | "float_parsing" | "int_parsing":
            whole = "a whole number" if error["type"].startswith("int") else "a number"
            quotes = " (without quotes)" if isinstance(value, str) and re.fullmatch(r"-?[0-9.]+", value) else ""
            return f"{shown(value)} is not {whole}: write {whole}{quotes}"
        case "bool_type" | "bool_parsing":
            return f"{shown(value)} is neither true nor false"
        case "finite_number":
            return f"{shown(value)} is not a finite number"
        case "greater_than":
            return f"{shown(value)} is too small: it must be more than {_bound(context.get('gt'))}"
        case "greater_than_equal":
            return f"{shown(value)} is too small: it must be at least {_bound(context.get('ge'))}"
        case "less_than":
            return f"{shown(value)} is too large: it must be less than {_bound(context.get('lt'))}"
        case "less_than_equal":
            return f"{shown(value)} is too large: it must be at most {_bound(context.get('le'))}"
        case "string_too_short":
            return "is empty: write its value"
        case "string_too_long":
            return f"{shown(value)} is too long: at most {context.get('max_length')} characters"
        case "string_pattern_mismatch" if context.get("pattern") == IDENTIFIER:
            return f"{shown(value)} may hold letters, digits, '.', '_' and '-' only, and begins with a letter or digit"
        case "too_short":
            return "the list is empty: it needs at least one entry"
        case "too_long":
            return f"the list has {context.get('actual_length')} entries: at most {context.get('max_length')}"
        case "list_type":
            return f"{shown(value)} is not a list: write its entries as - ... or [...]"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{shown(value)} is not a mapping: write its keys below it, as key: value"
        case "value_error":
            return str(context.get("error", error["msg"]))
        case _:
            return f"{shown(value)}: {error['msg']}"


def _bound(bound: object) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}" if isinstance(bound, float) else str(bound)


def _literal(path: Path, value: object, known: list[str]) -> str:
    if is_later_value(path, value):
        return f"{shown(value)} is not built yet (known: {listed(known)})"
    if isinstance(value, bool):
        return f"{str(value).lower()} is not one of {listed(known)}"
    if mend := same_as(path, value):
        return f"{shown(value)} is not known: {mend}"
    return f"{shown(value)} is not known{did_you_mean(value, known)}"


def _not_text(path: Path, value: object, spelling: str | None) -> str:
    if isinstance(value, bool | int | float | date):
        written = spelling or (str(value) if isinstance(value, date) else shown(value))
        read = f" ({value!r})" if spelling and isinstance(value, int | float) and repr(value) != spelling else ""
        key = next((part for part in reversed(path) if isinstance(part, str)), "")
        what = "true or false" if isinstance(value, bool) else f"a number{read}"
        quoted = f'{key}: "{written}"' if path and path[-1] == key else f'"{written}"'
        return f"{written} is read as {what}: put it in quotes, as in {quoted}"
    return f"{shown(value)} is not a text: write one value"
