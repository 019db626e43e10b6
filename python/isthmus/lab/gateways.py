"""The two gateways of a lab: what each is told, and starting it."""

import secrets
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from isthmus.lab.daemon import Isthmus, Rule, Tunnel
from isthmus.lab.namespaces import World
from isthmus.lab.strongswan import Charon, Child, Connection
from isthmus.lab.topology import SITE_A, SITE_B, Site

Peer = Literal["isthmus", "strongswan"]
Mode = Literal["policy", "route"]

RULE: Final = "lan"
IDLE_S: Final = 20
"""Silence after which phase 2 of a lab's rule closes: short enough to be watched."""
_PSK_ALPHABET: Final = string.ascii_letters + string.digits + "._"
_PSK_LENGTH: Final = 32
# The suite "modern" in strongSwan's spelling.
_IKE_PROPOSALS: Final = ("aes256gcm16-prfsha384-ecp256",)
_ESP_PROPOSALS: Final = ("aes256gcm16-ecp256", "aes256gcm16")
_IKE_V1_PROPOSALS: Final = ("aes256-sha384-ecp256",)
_INSIDE: Final = {"a": "169.254.10.1/30", "b": "169.254.10.2/30"}


def fresh_psk() -> str:
    """A random pre-shared key that every vendor takes: 32 of [A-Za-z0-9._], not starting with 0."""
    first = secrets.choice(string.ascii_letters)
    return first + "".join(secrets.choice(_PSK_ALPHABET) for _ in range(_PSK_LENGTH - 1))


def other(site: Site) -> Site:
    """The site at the far end."""
    return SITE_B if site is SITE_A else SITE_A


def tunnel_name(site: Site) -> str:
    """What the gateway of `site` calls its tunnel: the far site."""
    return f"site-{other(site).letter}"


def networks(site: Site, version: int = 2) -> tuple[str, ...]:
    """Both inside networks of a site; for IKEv1, whose phase 2 has one, that of IPv4."""
    families = (4,) if version == 1 else (4, 6)
    return tuple(site.network(family) for family in families)


def tunnel(
    site: Site,
    psk: str,
    mode: Mode,
    *,
    proposals: Sequence[str] = (),
    rule_proposals: Sequence[str] = (),
    version: int = 2,
) -> Tunnel:
    """The tunnel of the gateway of `site` towards the other one, in this version of IKE."""
    far = other(site)
    idle = {"idle": f'"{IDLE_S}s"'}
    ends = networks(site, version), networks(far, version)
    rules = (Rule(RULE, *ends, tuple(rule_proposals), idle),)
    settings = {"ike": str(version)} if version != 2 else {}
    return Tunnel(
        name=tunnel_name(site),
        peer=far.outer4,
        psk=psk,
        local_id=f"fqdn:{site.gateway}",
        remote_id=f"fqdn:{far.gateway}",
        rules=rules if mode == "policy" else (),
        inside=_INSIDE[site.letter] if mode == "route" else "",
        routes=ends[1] if mode == "route" else (),
        proposals=tuple(proposals),
        phase2_proposals=tuple(rule_proposals) if mode == "route" else (),
        settings=settings | (idle if mode == "route" else {}),
    )


def connection(
    site: Site,
    psk: str,
    *,
    proposals: Sequence[str] = (),
    rule_proposals: Sequence[str] = _ESP_PROPOSALS,
    version: int = 2,
) -> Connection:
    """The same as `tunnel` for a strongSwan gateway."""
    far = other(site)
    ends = networks(site, version), networks(far, version)
    usual = _IKE_PROPOSALS if version == 2 else _IKE_V1_PROPOSALS
    return Connection(
        name=tunnel_name(site),
        local_address=site.outer4,
        remote_address=far.outer4,
        local_id=site.gateway,
        remote_id=far.gateway,
        psk=psk,
        ike_proposals=tuple(proposals) or usual,
        children={RULE: Child(*ends, tuple(rule_proposals))},
        version=version,
    )


def start_isthmus(
    world: World,
    site: Site,
    directory: Path,
    psk: str,
    mode: Mode,
    *,
    proposals: Sequence[str] = (),
    rule_proposals: Sequence[str] = (),
    keys_exported: bool = False,
    version: int = 2,
) -> Isthmus:
    """An Isthmus gateway, running and armed."""
    gateway = Isthmus(world, site.gateway, directory, keys_exported=keys_exported)
    told = tunnel(
        site, psk, mode, proposals=proposals, rule_proposals=rule_proposals, version=version
    )
    gateway.write(told)
    gateway.start()
    return gateway


def start_strongswan(
    world: World,
    site: Site,
    directory: Path,
    psk: str,
    *,
    proposals: Sequence[str] = (),
    rule_proposals: Sequence[str] = _ESP_PROPOSALS,
    version: int = 2,
) -> Charon:
    """A strongSwan gateway, running and ready to answer."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    gateway = Charon(world, site.gateway, directory)
    gateway.start()
    told = connection(
        site, psk, proposals=proposals, rule_proposals=rule_proposals, version=version
    )
    gateway.load(told)
    return gateway
