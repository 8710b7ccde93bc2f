"""What all programs share: a command line, one message for a mistake, and no proxy inside of this machine."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "::1")
CALLED_AS = "CAPTIONER_CALLED_AS"
"""The variable in which `captioner` says what was typed; of this program, not of those that it starts."""
_called_as = os.environ.pop(CALLED_AS, None)


def command_line(description: str | None) -> argparse.ArgumentParser:
    """The parser of a program; `--help` shows `description`, a docstring, which calls it as the user did."""
    shown = argparse.RawDescriptionHelpFormatter
    typed = _called_as or f"python -m {_module_name()}"
    told = (description or "").replace(f"python -m {_module_name()}", typed)
    return argparse.ArgumentParser(prog=typed, description=told, formatter_class=shown)


def program_name() -> str:
    """`flows.train` of `python -m flows.train`; `captioner train` of that."""
    return _called_as or _module_name()


def _module_name() -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else Path(sys.argv[0]).stem


def main(program: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call `program`. The process ends with 0 or the int that it returns, with 1 and one message after a
    mistake, with 130 after Ctrl-C or SIGTERM; a bug keeps its traceback.
    """
    # SIGTERM would end this process, but not what it has started; jobs in the background ignore SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    bypass_proxies()
    try:
        code = program(*args, **kwargs)
    except KeyboardInterrupt:
        print(f"\n{program_name()}: interrupted. Run it again to go on.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if (message := told(error)) is None:
            raise
        print(f"\n{program_name()}: {message}", file=sys.stderr)
        sys.exit(1)
    if isinstance(code, int) and code:
        sys.exit(code)


def told(error: Exception) -> str | None:
    """What a user is told of a mistake or a full disk; None of a bug."""
    from pydantic import ValidationError

    from components.errors import UserError

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ValidationError):  # of a stage's parameters
        faults = [(".".join(map(str, fault["loc"])), fault) for fault in error.errors()]
        return "; ".join(f"{name} is {fault['input']!r}: {fault['msg']}" for name, fault in faults)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        place = error.filename or Path.cwd()
        return f"No space left on the disk, writing {place}. Free some and run again."
    return None


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let no proxy come between programs of this machine, here and in processes started from here."""
    kept = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in kept.split(",") if host.strip()]
    hosts += [host for host in LOOPBACK if host not in hosts]
    # Both: some libraries read one, some the other, and some prefer either.
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)
