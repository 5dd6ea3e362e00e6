"""``use "blocks.cnn"``: the declarations of another file, in place of the line that names it.

A spec may name files of its own folder or below, and so may each of them. All that is read is bounded, as one spec is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..errors import CnnSpecError, DataError, Diagnostic, Fix, SpecError
from ..source import Source, Span
from . import ast
from .guards import MAX_BYTES, MAX_TOKENS, count_tokens
from .parser import parse

MAX_FILES = 50
SUFFIX = ".cnn"
RUN_SPEC = "spec.cnn"  # the name of a spec in the folder of its run, where the files that it uses are kept too
MAY_STAND = (ast.Block, ast.ParamStatement, ast.FilterStatement, ast.Use, ast.Broken)


def resolve(spec: ast.Spec) -> tuple[ast.Spec, list[Diagnostic]]:
    """Return a spec with the statements of used files behind the lines that name them, and what is wrong with these."""
    if not any(isinstance(statement, ast.Use) for statement in spec.statements):
        return spec, []
    reader = _Reader(spec.source, tokens=count_tokens(spec.source.text))
    statements = tuple(reader.statements(spec, "", (posixpath.basename(spec.source.name),)))
    used = tuple(reader.used.items())
    return replace(spec, statements=statements, used=used, whole=reader.whole), reader.diagnostics


@dataclass
class _Reader:
    root: Source
    tokens: int
    diagnostics: list[Diagnostic] = field(default_factory=list)
    used: dict[str, Source] = field(default_factory=dict)
    whole: bool = True

    def statements(self, spec: ast.Spec, folder: str, way: tuple[str, ...]) -> Iterator[ast.Statement]:
        """Yield the statements of a file, those of the files that it uses between them."""
        for statement in spec.statements:
            yield statement
            if isinstance(statement, ast.Use):
                yield from self._used(statement.path, folder, way)

    def _used(self, name: ast.Text, folder: str, way: tuple[str, ...]) -> Iterator[ast.Statement]:
        problem = _misnamed(name)
        path = posixpath.normpath(posixpath.join(folder, name.value)) if problem is None else ""
        if problem is None and path in way:
            cycle = " -> ".join([*way[way.index(path) :], path])
            label, hint = cycle, "put what both need into a third file"
            problem = Diagnostic("recursion", f"`{path}` uses itself", name.span, label, hint=hint)
        if problem is None and path in self.used:
            return  # what is used twice is read once
        if problem is None and len(self.used) == MAX_FILES:
            problem = Diagnostic("use", f"a spec uses at most {MAX_FILES} files", name.span)
        spec = self._read(path, name.span) if problem is None else None
        if problem is not None:
            self.diagnostics.append(problem)
        if spec is None:
            self.whole = False
            return
        misplaced = next((s for s in spec.statements if not _may_stand(s)), None)
        if misplaced is not None:
            self.diagnostics.append(_misplaced(misplaced, name.span))
        kept = replace(spec, statements=tuple(s for s in spec.statements if _may_stand(s)))
        yield from self.statements(kept, posixpath.dirname(path), (*way, path))

    def _read(self, path: str, at: Span) -> ast.Spec | None:
        """Return the tree of a file, or None after telling why there is none."""
        try:
            if self.root.files is None:
                hint = "write the spec to a file beside it, or copy the blocks into it"
                raise DataError("a spec that is no file has no folder to read from", hint=hint)
            source = self.root.files.read(path)
            self.tokens += count_tokens(source.text)
            if self.tokens > MAX_TOKENS:
                raise DataError(f"a spec and its files have at most {MAX_TOKENS:,} words, numbers and signs")
            if sum(len(used.text) for used in self.used.values()) + len(source.text) > MAX_BYTES:
                raise DataError(f"a spec uses at most {MAX_BYTES:,} characters of other files")
            spec, wrong = parse(source)
        except CnnSpecError as error:
            self.diagnostics += error.diagnostics if isinstance(error, SpecError) else [_unread(error, path, at)]
            return None
        self.used[path] = source
        self.diagnostics += wrong
        self.whole = self.whole and not wrong
        return spec


def _may_stand(statement: ast.Statement) -> bool:
    is_declaration = isinstance(statement, ast.Declaration) and statement.word in ("defaults", "cnnspec")
    return is_declaration or isinstance(statement, MAY_STAND)


def _misplaced(statement: ast.Statement, used_at: Span) -> Diagnostic:
    message, hint = "a used file holds blocks, params, defaults and filters", "move it to the spec or into a block"
    label, related = f"`{statement.span.text.split()[0]}` is none of these", ((used_at, "used here"),)
    return Diagnostic("use", message, statement.span, label, related=related, hint=hint)


def _unread(error: CnnSpecError, path: str, at: Span) -> Diagnostic:
    message = error.message if isinstance(error, DataError) else str(error)
    said = [error.expected, error.found] if isinstance(error, DataError) else []
    label = ", ".join(f"{word} {text}" for word, text in zip(("expected", "found"), said, strict=False) if text)
    hint = error.hint if isinstance(error, DataError) else ""
    return Diagnostic("use", f"`{path}` cannot be used: {message}", at, label, hint=hint)


def _misnamed(name: ast.Text) -> Diagnostic | None:
    """Return what is wrong with the path of a used file; it is relative and leads down, with / on each system."""
    path, fix = name.value, None
    parts = path.split("/")
    if not path.strip() or "\0" in path:
        return Diagnostic("use", "`use` names a file", name.span, hint='write  use "blocks.cnn"')
    if path.startswith(("/", "~")) or ":" in path or ".." in parts or "\\" in path:
        message = "a used file lies in the folder of the file that uses it, or below"
        if "\\" in path and ":" not in path and ".." not in path.split("\\"):
            message = "the parts of a path are separated by /"
            fix = Fix(name.span, f'"{path}"'.replace("\\", "/"), sure=True)
        return Diagnostic("use", message, name.span, hint="copy it there" if fix is None else "write /", fix=fix)
    if not path.endswith(SUFFIX):
        message = f"a used file is a spec, and its name ends in {SUFFIX}"
        hint = f'write  use "{path}{SUFFIX}"' if "." not in parts[-1] else f"name a {SUFFIX} file"
        return Diagnostic("use", message, name.span, hint=hint)
    if posixpath.normpath(path).lower() == RUN_SPEC:
        message = f"{RUN_SPEC} is the name that a run gives to its copy of the spec"
        return Diagnostic("use", message, name.span, hint="rename the file")
    return None
