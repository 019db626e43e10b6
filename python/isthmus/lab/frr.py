"""FRR's zebra and bgpd beside a gateway: a routing daemon that looks at interfaces as users' do.

Debian's package starts them as the user `frr`, so their files lie in the world's own /run, which
that user can reach and which vanishes with the world.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from isthmus.lab.namespaces import CommandFailed, LabError, World, end

_PROGRAMS: Final = Path("/usr/lib/frr")
_START_S: Final = 10.0


def missing() -> tuple[str, ...]:
    """Debian packages without which this cannot run."""
    there = (_PROGRAMS / "bgpd").exists() and shutil.which("vtysh") is not None
    return () if there else ("frr",)


@dataclass(frozen=True, slots=True)
class Speaker:
    """One BGP router: what it announces, and its neighbours' addresses with their AS."""

    asn: int
    router_id: str
    announces: tuple[str, ...]
    neighbours: Mapping[str, int]

    def text(self) -> str:
        """bgpd's configuration. Sessions and routes come at once, not after half a minute."""
        lines = [
            f"router bgp {self.asn}",
            f" bgp router-id {self.router_id}",
            " no bgp ebgp-requires-policy",
            " no bgp network import-check",
            " timers bgp 3 9",
        ]
        for address, asn in self.neighbours.items():
            lines += [
                f" neighbor {address} remote-as {asn}",
                f" neighbor {address} timers connect 1",
                f" neighbor {address} advertisement-interval 0",
            ]
        lines.append(" address-family ipv4 unicast")
        lines += [f"  network {network}" for network in self.announces]
        lines += [" exit-address-family", "exit"]
        return "\n".join(lines) + "\n"


@dataclass(slots=True)
class Frr:
    """zebra and bgpd in one namespace of a world."""

    world: World
    namespace: str
    _processes: list["subprocess.Popen[str]"] = field(default_factory=list, repr=False)

    @property
    def directory(self) -> str:
        """Where their sockets and files are, as seen inside the world."""
        return f"/run/frr-{self.namespace}"

    def start(self, speaker: Speaker) -> None:
        """Start both and wait until they answer."""
        self._inside("install", "-d", "-o", "frr", "-g", "frr", self.directory)
        for name, text in (("zebra", ""), ("bgpd", speaker.text())):
            settings = f"{self.directory}/{name}.conf"
            full = f"log file {self.directory}/{name}.log\n{text}"
            self.world.run(None, ["tee", settings], input_text=full)
            self._inside("chown", "frr:frr", settings)
            self._processes.append(self.world.start(self.namespace, self._command(name, settings)))
            self._await(name)

    def stop(self) -> None:
        """End both; zebra takes its routes out of the kernel."""
        while self._processes:
            end(self._processes.pop())

    def established(self) -> set[str]:
        """Addresses of the neighbours whose session stands."""
        peers = self.ask("show bgp ipv4 unicast summary").get("peers", {})
        return {address for address, peer in peers.items() if peer["state"] == "Established"}

    def learned(self) -> set[str]:
        """Prefixes that came from a neighbour and are in use."""
        routes = self.ask("show ip route bgp")
        return {prefix for prefix, found in routes.items() if any(r.get("selected") for r in found)}

    def ask(self, command: str) -> dict[str, Any]:
        """The JSON answer to a `show` command."""
        output = self._vtysh(f"{command} json")
        found = json.loads(output[output.index("{") :])
        assert isinstance(found, dict)
        return found

    def diary(self) -> str:
        """What both logged."""
        try:
            return self.world.run(None, ["sh", "-c", f"tail -n 60 {self.directory}/*.log"])
        except CommandFailed as failed:
            return failed.output

    def _vtysh(self, command: str) -> str:
        argv = ["vtysh", "--vty_socket", self.directory, "-c", command]
        return self.world.run(self.namespace, argv)

    def _command(self, name: str, settings: str) -> Sequence[str]:
        own = ["-p", "179"] if name == "bgpd" else []
        return [
            *(str(_PROGRAMS / name), "-u", "frr", "-g", "frr", "-f", settings, "-P", "0"),
            *("-i", f"{self.directory}/{name}.pid", "-z", f"{self.directory}/zserv.api"),
            *("--vty_socket", self.directory, *own),
        ]

    def _await(self, name: str) -> None:
        deadline = time.monotonic() + _START_S
        probe = ["test", "-S", f"{self.directory}/{name}.vty"]
        while True:
            try:
                self.world.run(None, probe)
                return
            except CommandFailed:
                process = self._processes[-1]
                if process.poll() is not None or time.monotonic() > deadline:
                    said = process.stdout.read() if process.poll() and process.stdout else ""
                    raise LabError(f"{name} did not start in {self.namespace}.", said) from None
                time.sleep(0.05)

    def _inside(self, *words: str) -> None:
        self.world.run(None, list(words))
