"""``cnnspec cache``: the kernels that were compiled for this machine."""

from __future__ import annotations

import json
import sys

import click

from ..text import size


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

    found = cache.info()
    if as_json:
        json.dump(found, sys.stdout, indent=1, default=str)
        click.echo()
        return
    for key, value in found.items():
        click.echo(f"  {key:<10} {size(value) if key == 'nbytes' else value}")


@command.command(name="clear")
def clear() -> None:
    """Remove the compiled kernels of every version."""
    from ..kernels import cache

    before = cache.info()
    cache.clear()
    click.echo(f"removed {size(before.get('nbytes', 0))} from {before.get('folder', cache.cache_dir())}")
