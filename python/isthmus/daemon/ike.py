"""The entry of the IKE process, which reads the internet's datagrams and holds no privilege.

`python -m isthmus.daemon.ike --config FILE --plane SOCKET --socket PATH --channel FD --parent PID`
is started by the supervisor only. Files and secrets are read first; then every capability is given
up for good; then come sockets, and they are Unix sockets only.
"""

import argparse
import asyncio
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path

from isthmus.config.errors import ConfigErrors
from isthmus.config.load import load
from isthmus.crypto.entropy import SystemEntropy
from isthmus.crypto.selftest import Capabilities, supported
from isthmus.daemon import channel, collector
from isthmus.daemon.application import Application, Arguments
from isthmus.daemon.capabilities import without_withdrawn
from isthmus.daemon.channel import Fatal
from isthmus.daemon.labkeys import VARIABLE, LabKeys
from isthmus.daemon.process import die_with_parent, drop_privileges, keep_memory_private
from isthmus.daemon.reload import Terms
from isthmus.daemon.status import EXIT_CONFIG, EXIT_FAILED
from isthmus.ike.engine import IkeEngine
from isthmus.values.errors import LocalFault


def main(arguments: list[str]) -> int:
    """Run until the supervisor says stop. Returns the process's exit status."""
    parser = argparse.ArgumentParser(prog="isthmus-ike")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--plane", required=True)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    said = parser.parse_args(arguments)
    die_with_parent(said.parent)
    keep_memory_private()
    end = socket.socket(fileno=said.channel)
    try:
        directory = os.environ.get(VARIABLE)
        lab_keys = LabKeys.open(directory) if directory else None
        capabilities = supported()
        terms = read(said.config, capabilities)
    except ConfigErrors as errors:
        channel.send(end, Fatal(str(errors)))
        return EXIT_CONFIG
    except LocalFault as fault:
        channel.send(end, Fatal(str(fault)))
        return EXIT_FAILED
    drop_privileges()
    # Giving up privileges may have cleared the death signal.
    die_with_parent(said.parent)
    entropy = SystemEntropy()
    engine = IkeEngine(entropy, terms.credentials)
    collector.settle()
    asked = Arguments(
        said.plane,
        said.socket,
        terms.configuration,
        lab_keys,
        end,
        terms.credentials,
        lambda: read(said.config, capabilities),
    )
    return asyncio.run(Application(asked, engine, entropy).run())


def read(config: Path, capabilities: Capabilities) -> Terms:
    """The file, its secrets, and what of it this machine can do.

    Raises ConfigErrors or LocalFault.
    """
    with collector.at_rest():
        loaded = load(config, at=int(time.time()))
    configuration, withdrawn = without_withdrawn(loaded.configuration, capabilities)
    warnings = (*configuration.warnings, *withdrawn)
    return Terms(replace(configuration, warnings=warnings), loaded.credentials)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
