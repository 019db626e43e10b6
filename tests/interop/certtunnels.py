"""Tunnels with certificates as the two daemons are told of them: policies of one rule from site A's
network to one host behind strongSwan, which may be written beside each other."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.exchanges.pki import Node

from isthmus.lab.daemon import Isthmus
from isthmus.lab.namespaces import LabError
from isthmus.lab.strongswan import Child, Connection
from isthmus.lab.vici import Section

from .support import SITE_A, SITE_B

IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16"


def private_file(directory: Path, name: str, octets: bytes) -> str:
    """Write a file for its owner's eyes alone; its path."""
    path = directory / name
    path.write_bytes(octets)
    path.chmod(0o600)
    return str(path)


def certified(directory: Path, near: Node) -> dict[str, object]:
    """The entries of a tunnel in which both sides have a certificate, and `near` is ours."""
    return {
        "auth": "cert",
        "cert": private_file(directory, "near.pem", near.pem),
        "key": {"file": private_file(directory, "near.key", near.key_pem)},
    }


def toml(
    name: str,
    host: str,
    entries: Mapping[str, object],
    *,
    phase1: str = "",
    proposals: tuple[str, str] = (IKE, ESP),
    local: str = SITE_A.network(4),
) -> str:
    """A tunnel in our configuration; `phase1` is what stands there beside the proposals, and
    `proposals` are those of both phases."""
    common = {"peer": SITE_B.outer4, "mode": "policy"}
    return "\n".join(
        [
            f"[tunnel.{name}]",
            *(f"{key} = {_value(value)}" for key, value in {**common, **entries}.items()),
            f'[tunnel.{name}.phase1]\nproposals = ["{proposals[0]}"]\n{phase1}',
            f"[tunnel.{name}.rule.lan]",
            f'local = ["{local}"]',
            f'remote = ["{host}"]',
            f'proposals = ["{proposals[1]}"]\n',
        ]
    )


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_value(one)}' for key, one in value.items())} }}"
    # JSON's strings, booleans and lists of strings are also TOML's.
    return json.dumps(value)


def connection(
    name: str,
    host: str,
    ids: tuple[str, str],
    *,
    local: Section,
    remote: Section,
    psk: str = "",
) -> Connection:
    """The same in strongSwan's words; `ids` are its own and ours."""
    return Connection(
        name=name,
        local_address=SITE_B.outer4,
        remote_address=SITE_A.outer4,
        local_id=ids[0],
        remote_id=ids[1],
        psk=psk,
        ike_proposals=(IKE,),
        children={name: Child((host,), (SITE_A.network(4),), (ESP,))},
        local=local,
        remote=remote,
    )


def shown(node: Node, auth: str = "pubkey") -> Section:
    """How strongSwan proves itself: by this certificate."""
    return {"auth": auth, "certs": [node.pem.decode()]}


def trusted(root: Node, auth: str = "pubkey") -> Section:
    """What strongSwan takes from us: what goes back to this root."""
    return {"auth": auth, "cacerts": [root.pem.decode()]}


def start_or_fail(near: Isthmus) -> None:
    """Start a daemon that has been told its tunnels; the test fails, with its log, where it does
    not start."""
    try:
        near.start()
    except LabError as failure:
        pytest.fail(f"{failure}\n{near.log_tail(60)}")
