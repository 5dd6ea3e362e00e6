"""A syntax tree as text, one node a line with its place: what ``cnnspec dump --stage ast`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import ast


def print_ast(spec: ast.Spec) -> str:
    """Return the tree as text; equal trees at equal places print equally."""
    return "\n".join(["spec", *_statements(spec.statements, 1)]) + "\n"


def _line(depth: int, node: ast.Node, text: str) -> str:
    return f"{'  ' * depth}{text}  @{node.span.line}:{node.span.column}"


def _statements(statements: Sequence[ast.Statement], depth: int) -> Iterator[str]:
    for statement in statements:
        yield from _statement(statement, depth)


def _statement(node: ast.Statement, depth: int) -> Iterator[str]:
    if isinstance(node, ast.Flow):
        yield _line(depth, node, f"flow {node.label}:" if node.label else "flow")
        for step in node.steps:
            yield from _step(step, depth + 1)
    elif isinstance(node, ast.Declaration):
        yield _line(depth, node, " ".join([node.word, *map(_argument, node.arguments)]))
    elif isinstance(node, ast.ParamStatement):
        yield _line(depth, node, f"param {node.name} = {print_expr(node.value)}")
    elif isinstance(node, ast.Setting):
        yield _line(depth, node, f"setting {node.name} = {print_expr(node.value)}")
    elif isinstance(node, ast.ExpectStatement):
        yield _line(depth, node, f"expect {node.metric} {node.relation} {print_expr(node.value)}")
    elif isinstance(node, ast.Block):
        parameters = ", ".join(
            p.name if p.default is None else f"{p.name} = {print_expr(p.default)}" for p in node.parameters
        )
        yield _line(depth, node, f"block {node.name}({parameters})")
        yield from _body(node.body, depth + 1)
    elif isinstance(node, ast.FilterStatement):
        yield _line(depth, node, f"filter {node.name}")
        for plane in node.planes:
            if node.barred:
                yield _line(depth + 1, plane, "channel")
            for row in plane.rows:
                yield _line(depth + 1 + node.barred, row, " ".join(map(print_expr, row.numbers)))
    elif isinstance(node, ast.Use):
        yield _line(depth, node, f'use "{node.path.value}"')
    elif isinstance(node, ast.Section):
        yield _line(depth, node, node.word)
        yield from _body(node.body, depth + 1)
    else:
        yield _line(depth, node, "broken")


def _step(step: ast.Step, depth: int) -> Iterator[str]:
    targets = [", ".join(name.name for name in step.targets), "in"] if step.targets else []
    yield _line(depth, step, " ".join([f"step {step.name}", *targets, *map(_argument, step.arguments)]))
    if step.body is not None:
        yield from _body(step.body, depth + 1)
    for clause in step.clauses:
        condition = f" {print_expr(clause.condition)}" if clause.condition is not None else ""
        yield _line(depth + 1, clause, f"clause {clause.name}{condition}")
        yield from _body(clause.body, depth + 2)


def _body(body: ast.Body | ast.Table, depth: int) -> Iterator[str]:
    if isinstance(body, ast.Body):
        yield from _statements(body.statements, depth)
        return
    for row in body.rows:
        yield _line(depth, row, "row")
        yield from _statements(row.statements, depth + 1)


def _argument(argument: ast.Argument) -> str:
    value = print_expr(argument.value)
    return f"{argument.key}={value}" if argument.key else value


def print_expr(expr: ast.Expr) -> str:
    """Return an expression as text: arithmetic in parentheses, numbers worked out."""
    if isinstance(expr, ast.Number):
        return f"{expr.value!r}"
    if isinstance(expr, ast.Size):
        return "x".join(map(str, expr.dims))
    if isinstance(expr, ast.Text):
        return f'"{expr.value}"'
    if isinstance(expr, ast.Name):
        return expr.name
    if isinstance(expr, ast.Negative):
        return f"-{print_expr(expr.operand)}"
    if isinstance(expr, ast.Group):
        return print_expr(expr.inner)
    if isinstance(expr, ast.Call):
        return f"{expr.function}({', '.join(map(print_expr, expr.arguments))})"
    if isinstance(expr, ast.ListOf):
        return f"[{', '.join(map(print_expr, expr.items))}]"
    if isinstance(expr, ast.TupleOf):
        return f"({', '.join(map(print_expr, expr.items))})"
    if isinstance(expr, ast.Comparison):
        return f"({print_expr(expr.left)} {expr.relation} {print_expr(expr.right)})"
    if isinstance(expr, ast.Logic):
        return f"({f' {expr.word} '.join(map(print_expr, expr.operands))})"
    if isinstance(expr, ast.Not):
        return f"(not {print_expr(expr.operand)})"
    rest = "".join(f" {operator} {print_expr(operand)}" for operator, operand in expr.rest)
    return f"({print_expr(expr.first)}{rest})"
