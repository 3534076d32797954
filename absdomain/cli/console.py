"""The frame of the command line: errors in one line, exit codes, warnings, and memory that the process keeps."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from absdomain.errors import described, ours

UNSOUND = 3  # the exit code if a bound was contradicted: a bug of ours or of a plug-in
INTERRUPTED = 130


class Commands(TyperGroup):
    """Commands whose errors are one line on stderr and a non-zero exit code; `--debug` may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = [arg for arg in args if arg != "--debug"]
        ctx.obj = {"debug": len(given) < len(args)}
        return list(super().parse_args(ctx, given))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("stopped; the same command again goes on from here", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if ctx.obj["debug"] or isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code"):
                raise
            typer.echo(f"error: {described(error)}", err=True)
            raise typer.Exit(UNSOUND if ours(error) and isinstance(error, AssertionError) else 1) from None


def keep_memory() -> None:
    """Tell glibc to keep freed memory for the next batch instead of giving it back to the system page by page.

    Without it every large temporary is mapped, zeroed and unmapped again: Box on Gowal's networks at batch 128 took 1.6
    to 1.9 times as long. Thresholds given in the environment (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_) are left
    as they are. Elsewhere than on glibc it does nothing.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def plain_warnings() -> None:
    """Warnings as one line on stderr, without a place in our sources."""
    warnings.showwarning = lambda message, *_, **__: typer.echo(f"warning: {message}", err=True)
