"""What is changed: the standard operators of mutation testing, on the syntax tree of Python.

Arithmetic, comparison, boundary, constant, text, boolean, sign, return, in-place assignment, deletion of an argument,
and a call replaced by its first argument. Annotations, docstrings, decorators and imports are left as they are.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
MARK = "XX"
"""Put around a text to change it."""


def variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every change of this very node: the operator's name, and the node to put in its place."""
    match node:
        case ast.BinOp():
            yield from _arithmetic(node)
        case ast.AugAssign():
            yield from _in_place(node)
        case ast.UnaryOp(op=ast.USub() | ast.Invert() | ast.Not()):
            yield ("boolean" if isinstance(node.op, ast.Not) else "sign"), node.operand
        case ast.Compare():
            yield from _comparisons(node)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield "boolean", ast.BoolOp(op=other, values=node.values)
        case ast.Constant():
            yield from _constants(node)
        case ast.Return(value=ast.expr()) if not _is_none(node.value):
            yield "return", ast.Return(value=ast.Constant(value=None))
        case ast.Call():
            yield from _calls(node)
        case ast.If() | ast.IfExp() | ast.While():
            yield from _conditions(node)


def _arithmetic(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    other = ARITHMETIC.get(type(node.op))
    if other is not None:
        yield "arithmetic", ast.BinOp(left=node.left, op=other(), right=node.right)


def _in_place(node: ast.AugAssign) -> Iterator[tuple[str, ast.AST]]:
    other = ARITHMETIC.get(type(node.op))
    if other is not None:
        yield "arithmetic", ast.AugAssign(target=node.target, op=other(), value=node.value)
    yield "assignment", ast.Assign(targets=[node.target], value=node.value)


def _comparisons(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    for place, operator in enumerate(node.ops):
        for name, table in (("comparison", OPPOSITE), ("boundary", BOUNDARY)):
            other = table.get(type(operator))
            if other is not None:
                ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
                yield name, ast.Compare(left=node.left, ops=ops, comparators=node.comparators)


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    if isinstance(value, bool):
        yield "boolean", ast.Constant(value=not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value=value + 1)
        if value:
            yield "constant", ast.Constant(value=value - 1)
    elif isinstance(value, float):
        yield "constant", ast.Constant(value=2.0 * value if value else 1.0)
        if value:
            yield "constant", ast.Constant(value=value / 2.0)
    elif isinstance(value, str):
        yield "text", ast.Constant(value=f"{MARK}{value}{MARK}")


def _calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    if len(node.args) > 1:
        for place in range(len(node.args)):
            kept = [*node.args[:place], *node.args[place + 1 :]]
            yield "argument", ast.Call(func=node.func, args=kept, keywords=node.keywords)
    for place in range(len(node.keywords)):
        keywords = [*node.keywords[:place], *node.keywords[place + 1 :]]
        yield "argument", ast.Call(func=node.func, args=node.args, keywords=keywords)
    if node.args and not isinstance(node.args[0], ast.Starred):
        yield "call", node.args[0]


def _conditions(node: ast.If | ast.IfExp | ast.While) -> Iterator[tuple[str, ast.AST]]:
    # Conditions that are comparisons, or that begin with `not`, are turned round by their own operators.
    if not isinstance(node.test, ast.Compare) and not (
        isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
    ):
        turned = deepcopy(node)
        turned.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
        yield "boolean", turned


def _is_none(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
