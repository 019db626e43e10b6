"""The command `isthmusd`: checks that it can run at all, then supervises."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import isthmus
from isthmus.backends.wishes import NetworkWish, closed
from isthmus.config.errors import ConfigErrors
from isthmus.config.load import load
from isthmus.daemon import collector, ports
from isthmus.daemon.network_plan import plan
from isthmus.daemon.process import keep_memory_private
from isthmus.daemon.runtime import Runtime
from isthmus.daemon.status import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from isthmus.daemon.supervisor import Supervisor
from isthmus.policy.connection import Configuration
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
    parser.add_argument(
        "--open",
        action="store_true",
        help="give free what fail_closed holds back, while no daemon runs",
    )
    parser.add_argument(
        "--close",
        action="store_true",
        help="make unreachable what the tunnels of the configuration protect, before the daemon "
        "runs",
    )
    parser.add_argument("--version", action="version", version=f"isthmusd {isthmus.__version__}")
    asked = parser.parse_args(arguments)
    keep_memory_private()
    if asked.open:
        return _set_network(asked.socket.absolute(), NetworkWish())
    try:
        with collector.at_rest():
            configuration = load(asked.config, at=int(time.time())).configuration
    except ConfigErrors as errors:
        _say(str(errors))
        return EXIT_CONFIG
    if asked.check:
        for warning in configuration.warnings:
            _say(f"warning: {warning}")
        print(f"{asked.config}: {len(configuration.connections)} tunnels, no errors")
        return EXIT_OK
    if asked.close:
        return _set_network(asked.socket.absolute(), closed(plan(configuration).wish))
    return _supervise(asked.config.absolute(), asked.socket.absolute(), configuration)


def _set_network(control: Path, wish: NetworkWish) -> int:
    """Bring routes and rules of ours to this state. The lock says that no daemon runs there."""
    # It takes 0.3 s to import.
    from isthmus.backends.network import Network

    try:
        runtime = Runtime(control)
    except LocalFault as fault:
        _say(str(fault))
        return EXIT_FAILED
    network = Network()
    try:
        network.apply(wish)
    except LocalFault as fault:
        _say(str(fault))
        return EXIT_FAILED
    finally:
        network.close()
        runtime.close()
    return EXIT_OK


def _supervise(config: Path, control: Path, configuration: Configuration) -> int:
    try:
        runtime = Runtime(control)
    except LocalFault as fault:
        _say(str(fault))
        return EXIT_FAILED
    try:
        taken = ports.busy(configuration.listen)
        if taken is not None:
            _say(taken)
            return EXIT_FAILED
        return Supervisor(config, control, runtime, _say, configuration.fail_closed).run()
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
