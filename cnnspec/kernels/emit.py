"""Machine code of a kernel: numba's front end, LLVM's optimiser, and one entry that has the kernel's name.

Numba makes code to be called from Python, and runs what it made at once. A kernel is called by address only, and most
are compiled to be kept. So this module, the only one that knows the inside of numba, leaves out:

- wrappers for Python and for C: the entry calls the kernel's own function, and all else is internal to the object;
- machine code of the functions that are inlined into kernels;
- LLVM's passes over single functions before those over the module: a third of the time, and the same bits of weights
  and the same times of steps without them (benchmarks/NOTES.md).

The object refers to ``expf``, ``log`` and the like of the C library, and to nothing of Python or numba.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding as llvm
from numba.core import codegen, compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from ._jit import FASTMATH, TEMPLATES, specialise

OPTIONS = {"nopython": True, "fastmath": FASTMATH, "error_model": "numpy"}


class _Library(codegen.JITCodeLibrary):
    """Optimised code of a function, which is linked into others and never run where it lies."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _finalize_specific(self) -> None:
        pass

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _Codegen(codegen.JITCPUCodegen):
    """Makes such libraries, for the CPU that numba's settings name."""

    _library_class = _Library

    def _add_module(self, module: Any) -> None:
        pass

    def set_env(self, name: str, env: Any) -> None:
        pass

    @functools.cached_property
    def shared_machine(self) -> Any:
        """The target of code for a shared library: it may lie anywhere, near its own data."""
        options = {"cpu": self._get_host_cpu_name(), "features": self._tm_features, "opt": 3}
        target = llvm.Target.from_triple(llvm.get_process_triple())
        return target.create_target_machine(**options, reloc="pic", codemodel="small")


@functools.cache
def _codegen() -> _Codegen:
    return _Codegen("cnnspec.kernels")


@contextmanager
def _in_place_of_numbas() -> Iterator[_Codegen]:
    """Let numba compile into libraries of ours; others who compile in this process wait meanwhile."""
    context = cpu_target.target_context
    with global_compiler_lock:
        theirs = context._internal_codegen
        context._internal_codegen = _codegen()
        try:
            yield _codegen()
        finally:
            context._internal_codegen = theirs


def emit(name: str, *, shared: bool = False) -> bytes:
    """Return the object file of a registered kernel: for the process that loads it, or for a shared library.

    Raises
    ------
    KeyError
        For an unknown name.
    """
    if name not in TEMPLATES:
        raise KeyError(f"no kernel is called {name!r}")
    function, bindings, signature = TEMPLATES[name]
    made = specialise(function, name.replace(".", "_"), **bindings)
    flags: Any = compiler.Flags()
    cpu_target.options.parse_as_flags(flags, OPTIONS)
    flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    flags.enable_pyobject = False
    with _in_place_of_numbas() as codes:
        compiled = compiler.compile_extra(
            cpu_target.typing_context,
            cpu_target.target_context,
            made,
            signature.args,
            signature.return_type,
            flags,
            {},
        )
        compiled.library._ensure_finalized()
        module = compiled.library._final_module
        _add_entry(module, name, compiled.fndesc.llvm_func_name, signature)
        _keep_only(module, name, codes)
        code: bytes = (codes.shared_machine if shared else codes._tm).emit_object(module)
    return code


def _add_entry(module: Any, name: str, function: str, signature: Any) -> None:
    """Add a C function of the kernel's name, which calls the function that numba made."""
    parts = [f"{'i64' if str(kind) == 'int64' else 'ptr'} %x{i}" for i, kind in enumerate(signature.args)]
    given, called = ", ".join(parts), ", ".join(["ptr %result", "ptr %error", *parts])
    kinds = ", ".join(["ptr", "ptr", *(part.split()[0] for part in parts)])
    entry = llvm.parse_assembly(
        f'declare i32 @"{function}"({kinds})\n'
        f'define void @"{name}"({given}) {{\n'
        "  %result = alloca ptr\n"
        "  %error = alloca ptr\n"
        f'  %status = call i32 @"{function}"({called})\n'
        "  ret void\n"
        "}"
    )
    entry.triple, entry.data_layout = module.triple, module.data_layout
    module.link_in(entry)


def _keep_only(module: Any, name: str, codes: _Codegen) -> None:
    """Hide all but the entry from the linker, and remove what nothing calls."""
    for thing in (*module.functions, *module.global_variables):
        if not thing.is_declaration and thing.name != name:
            thing.linkage = llvm.Linkage.internal
    tuning = llvm.create_pipeline_tuning_options(speed_level=1)
    builder = llvm.create_pass_builder(codes._tm, tuning)
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)
