"""Settings of the product that this version does not have: refused by name, with a way out."""

from collections.abc import Mapping

NOT_YET: Mapping[str, Mapping[str, str]] = {
    "file": {
        "bgp": "use routes",
        "hub": "write one tunnel for each spoke",
        "template": "write the settings into each tunnel",
        "hooks": "leave it out",
        "metrics": "leave it out",
        "web": "leave it out",
        "ca": "name the root certificates in each tunnel",
    },
    "tunnel": {
        "unique": "leave it out",
        "template": "write the settings into the tunnel",
        "bgp": "use routes",
        "pool": 'write the networks into a rule; a peer = "any" keeps its own address',
        "users": "use psk",
        "map": "write map_local",
        "stop_action": "leave it out",
        "asymmetric": "it belongs to [group.NAME]",
        "group": "name the tunnel in [group.NAME]",
        "rekey_margin": "leave it out: it follows lifetime",
        "rekey_fuzz": "leave it out: it is 100 %",
    },
    "phase1": {
        "rekey_margin": "leave it out: it follows lifetime",
        "rekey_fuzz": "leave it out: it is 100 %",
        "mode": "leave it out: IKEv2 has one mode; IKEv1's second is aggressive in the tunnel",
    },
    "dpd": {},
    "xauth": {},
    "mode_config": {},
    "rule": {
        "map": "write map_local",
        "map_remote": "have the other side map its own networks",
        "mode": "leave it out",
    },
    "group": {},
    "bypass": {},
    "discard": {},
    "listen": {"ports": "leave it out: IKE is heard on 500 and 4500"},
    "daemon": {
        "socket": "start isthmusd with --socket PATH",
        "log_level": "leave it out",
        "state": "leave it out",
        "user": "set User= in isthmusd.service",
        "group": "set Group= in isthmusd.service",
    },
}
"""Keys of the product that this version does not carry out, and what to do instead."""
