"""``cnnspec cache``: the kernels that were compiled for this machine."""

from __future__ import annotations

from typing import Any

import click

from ..text import size, to_json
from . import render


@click.group(name="cache")
def command() -> None:
    """Show or clear the compiled kernels.

    Kernels are compiled once per machine and version, and kept in a folder of your user cache
    (CNNSPEC_CACHE names another). Clearing it is safe: the next training compiles again.
    """


@command.command(name="info")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def info(as_json: bool) -> None:
    """Show where the compiled kernels are and how much room they take."""
    from ..kernels import cache

    found: dict[str, Any] = cache.info()
    if as_json:
        render.show(to_json(found))
        return
    render.say(f"folder    {found['folder']}")
    render.say(f"kernels   {found['kernels']}")
    render.say(f"size      {size(found['bytes'])}, all versions {size(found['bytes_of_all_versions'])}")
    render.say(f"writable  {'yes' if found['writable'] else 'no: kernels are compiled anew in each process'}")


@command.command(name="clear")
def clear() -> None:
    """Remove the compiled kernels of every version."""
    from ..kernels import cache

    freed = cache.clear()
    render.say(f"removed {size(freed)} from {cache.cache_root()}" if freed else "the cache was empty")
