"""The command `isthmusd`: checks that it can run at all, then supervises."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import isthmus
from isthmus.config.errors import ConfigErrors
from isthmus.config.load import load
from isthmus.daemon import ports
from isthmus.daemon.process import keep_memory_private
from isthmus.daemon.runtime import Runtime
from isthmus.daemon.status import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from isthmus.daemon.supervisor import Supervisor
from isthmus.values.errors import LocalFault

CONFIG_DEFAULT = Path("/etc/isthmus/isthmus.toml")
SOCKET_DEFAULT = Path("/run/isthmus/control.sock")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 ended as asked, 1 cannot run, 2 usage, 3 configuration refused."""
    parser = argparse.ArgumentParser(
        prog="isthmusd",
        description="The Isthmus daemon: IPsec tunnels as a file describes them. Runs in the "
        "foreground until SIGTERM.",
    )
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=CONFIG_DEFAULT,
        metavar="FILE",
        help="configuration (default: %(default)s)",
    )
    parser.add_argument(
        "--socket",
        type=Path,
        default=SOCKET_DEFAULT,
        metavar="PATH",
        help="management socket for `isthmus` (default: %(default)s)",
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether the configuration is sound"
    )
    parser.add_argument("--version", action="version", version=f"isthmusd {isthmus.__version__}")
    asked = parser.parse_args(arguments)
    keep_memory_private()
    try:
        configuration = load(asked.config).configuration
    except ConfigErrors as errors:
        _say(str(errors))
        return EXIT_CONFIG
    if asked.check:
        for warning in configuration.warnings:
            _say(f"warning: {warning}")
        print(f"{asked.config}: {len(configuration.connections)} tunnels, no errors")
        return EXIT_OK
    return _supervise(asked.config.absolute(), asked.socket.absolute(), configuration.listen)


def _supervise(config: Path, control: Path, listen: tuple[str, ...]) -> int:
    try:
        runtime = Runtime(control)
    except LocalFault as fault:
        _say(str(fault))
        return EXIT_FAILED
    try:
        taken = ports.busy(listen)
        if taken is not None:
            _say(taken)
            return EXIT_FAILED
        return Supervisor(config, control, runtime, _say).run()
    finally:
        runtime.close()


def _say(line: str) -> None:
    try:
        print(f"isthmusd: {line}", file=sys.stderr, flush=True)
    except OSError:
        # Nobody reads: send what follows nowhere instead of failing each time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main())
