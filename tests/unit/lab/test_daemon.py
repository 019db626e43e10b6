"""The configuration that a lab writes for its gateways."""

import tomllib
from pathlib import Path

from isthmus.lab.gateways import fresh_psk, tunnel
from isthmus.lab.topology import SITE_A, SITE_B


def test_policy_tunnel_is_the_single_rule_form() -> None:
    """PRODUCT-GUIDE c.3 with IKEv2: a peer, a secret by reference, one rule."""
    text = tunnel(SITE_A, "secret", "policy", proposals=["a"], rule_proposals=["b"]).toml(
        Path("/x/site-b.psk")
    )
    assert "secret" not in text
    assert tomllib.loads(text)["tunnel"]["site-b"] == {
        "peer": "198.51.100.1",
        "psk": {"file": "/x/site-b.psk"},
        "mode": "policy",
        "local_id": "fqdn:gw-a",
        "remote_id": "fqdn:gw-b",
        "phase1": {"proposals": ["a"]},
        "rule": {
            "lan": {
                "local": ["10.1.0.0/24", "fd00:1::/64"],
                "remote": ["10.2.0.0/24", "fd00:2::/64"],
                "proposals": ["b"],
                "idle": "20s",
            }
        },
    }


def test_route_tunnels_of_both_sides_fit() -> None:
    """PRODUCT-GUIDE c.1: inside addresses of one /30, routes to the other site."""
    a, b = (
        tomllib.loads(tunnel(site, "s", "route").toml(Path("/x")))["tunnel"]
        for site in (SITE_A, SITE_B)
    )
    assert (a["site-b"]["inside"], b["site-a"]["inside"]) == (
        "169.254.10.1/30",
        "169.254.10.2/30",
    )
    assert a["site-b"]["routes"] == ["10.2.0.0/24", "fd00:2::/64"]
    assert "rule" not in a["site-b"]


def test_a_fresh_psk_suits_every_vendor() -> None:
    """32 of [A-Za-z0-9._], not starting with 0, another one each time."""
    keys = {fresh_psk() for _ in range(200)}
    assert len(keys) == 200
    assert all(len(key) == 32 and key[0] != "0" and key.isascii() for key in keys)
    assert all(character.isalnum() or character in "._" for key in keys for character in key)
