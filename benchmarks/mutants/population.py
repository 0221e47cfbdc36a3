"""All mutants there are of the analysis, and the seeded sample that is tried."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.mutants.operators import variants

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "coalmine" / "analysis"
LEAST = 3
"""Mutants of a file at least, when it has as many."""


@dataclass(frozen=True)
class Mutant:
    """One change; ``node`` and ``variant`` find it again in a fresh tree of the same source."""

    file: str
    """Below the root of the repository."""
    node: int
    variant: int
    operator: str
    line: int
    inside: str
    """Qualified name of the function or class; empty at the module's level."""
    before: str
    after: str
    """The line, or for an expression over several lines the expression, as it is and as it becomes."""
    span: tuple[int, int]
    """Lines of the statement it is in."""
    everywhere: bool
    """Not run by a test of its own: at import, or once and then remembered. All tests must be tried on it."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What an explanation is filed under: it stays when lines move."""
        return self.file, self.inside, self.before, self.after

    @property
    def module(self) -> str:
        """Dotted name of its module."""
        parts = Path(self.file).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True)
class _Scope:
    inside: str = ""
    statement: ast.stmt | None = None
    at_import: bool = True
    text: ast.JoinedStr | None = None


def all_mutants(package: Path = PACKAGE, root: Path = ROOT) -> list[Mutant]:
    """Every mutant of every module of a package, in the order of files and lines."""
    return [
        mutant
        for path in sorted(package.rglob("*.py"))
        for mutant in mutants_of(path.read_text(), path.relative_to(root).as_posix())
    ]


def mutants_of(source: str, file: str) -> list[Mutant]:
    """Every mutant of one module."""
    tree = ast.parse(source)
    place = {id(node): index for index, node in enumerate(ast.walk(tree))}
    lines = source.splitlines()
    found: dict[tuple[str, str, str, str, int], Mutant] = {}
    for node, scope in _visit(tree, _Scope()):
        statement = scope.statement
        assert statement is not None
        for number, (operator, result) in enumerate(variants(node)):
            line = _line_of(node)
            # A copy: a part of the node that takes its place has a place of its own.
            changed = ast.fix_missing_locations(ast.copy_location(deepcopy(result), node))
            before, after = _shown(node, changed, scope.text, lines)
            if before == after:
                continue
            mutant = Mutant(
                file=file,
                node=place[id(node)],
                variant=number,
                operator=operator,
                line=line,
                inside=scope.inside,
                before=before,
                after=after,
                span=_span(statement),
                everywhere=scope.at_import,
            )
            # Two operators may come to the same change, such as a deleted argument and a call replaced by the other.
            found.setdefault((*mutant.key, line), mutant)
    return list(found.values())


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """The syntax tree with the change made."""
    tree = ast.parse(source)
    node = next(one for index, one in enumerate(ast.walk(tree)) if index == mutant.node)
    _, changed = list(variants(node))[mutant.variant]
    ast.copy_location(changed, node)

    result = _replaced(tree, node, changed)
    assert isinstance(result, ast.Module)
    return ast.fix_missing_locations(result)


def draw(population: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """``count`` mutants at least, no place twice; each file's share is its share of all places that can be changed.

    A place is drawn first and one of its changes then, so that a call of five arguments weighs as much as a comparison.
    The same seed draws the same mutants of a file as long as that file and its share stay the same.
    """
    places: dict[str, dict[int, list[Mutant]]] = {}
    for mutant in population:
        places.setdefault(mutant.file, {}).setdefault(mutant.node, []).append(mutant)
    chosen: list[Mutant] = []
    for file, number in _shares({file: len(nodes) for file, nodes in places.items()}, count).items():
        chance = random.Random(f"{seed} {file}")
        for node in sorted(chance.sample(sorted(places[file]), number)):
            chosen.append(chance.choice(places[file][node]))
    return chosen


def _shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """Rounded up, so that together they are never fewer than asked for."""
    total = sum(sizes.values())
    return {file: min(size, max(LEAST, -(-count * size // total))) for file, size in sizes.items()}


def _replaced(tree: ast.AST, node: ast.AST, changed: ast.AST) -> ast.AST:
    class Put(ast.NodeTransformer):
        def visit(self, visited: ast.AST) -> ast.AST:
            return changed if visited is node else self.generic_visit(visited)

    result: ast.AST = Put().visit(tree)
    return result


def _visit(node: ast.AST, scope: _Scope) -> Iterator[tuple[ast.AST, _Scope]]:
    if _left_out(node):
        return
    if isinstance(node, ast.stmt):
        scope = replace(scope, statement=node)
    if isinstance(node, ast.JoinedStr) and scope.text is None:
        scope = replace(scope, text=node)
    if scope.statement is not None:
        yield node, scope
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        below = scope
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{scope.inside}.{node.name}".lstrip(".")
            function = not isinstance(node, ast.ClassDef)
            below = _Scope(inside, node, (scope.at_import and not function) or _is_remembered(node))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _visit(child, below)


def _left_out(node: ast.AST) -> bool:
    match node:
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
        case ast.Subscript(value=ast.Name(id="Literal")):
            return True
        case ast.Call(func=ast.Name(id="TypeVar")):
            return True
    return False


def _is_remembered(node: ast.AST) -> bool:
    return any("cache" in ast.unparse(one) for one in getattr(node, "decorator_list", ()))


def _span(statement: ast.stmt) -> tuple[int, int]:
    """A simple statement's lines; of a compound one the head's."""
    body = getattr(statement, "body", None)
    last = body[0].lineno - 1 if isinstance(body, list) and body else statement.end_lineno or statement.lineno
    return statement.lineno, max(last, statement.lineno)


def _line_of(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 1))


def _shown(node: ast.AST, changed: ast.AST, text: ast.JoinedStr | None, lines: Sequence[str]) -> tuple[str, str]:
    if text is not None:
        # Python before 3.12 gives the parts of an f-string no places of their own.
        copy = deepcopy(text)
        twin = next(new for old, new in zip(ast.walk(text), ast.walk(copy), strict=True) if old is node)
        return ast.unparse(text), ast.unparse(_replaced(copy, twin, changed))
    start, end = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    if start != end or isinstance(node, ast.If | ast.While):
        return _first_line(ast.unparse(node)), _first_line(ast.unparse(changed))
    line = lines[start - 1].encode()
    before, after = line[: getattr(node, "col_offset", 0)], line[getattr(node, "end_col_offset", 0) :]
    return line.decode().strip(), (before + ast.unparse(changed).encode() + after).decode().strip()


def _first_line(text: str) -> str:
    return text.splitlines()[0]
