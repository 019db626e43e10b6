"""Keys of a tunnel that only IKEv1 has; part of `schema`."""

from isthmus.config import fields, network_fields
from isthmus.config.fields import Cell
from isthmus.config.key import Key
from isthmus.config.network_fields import PlacedNetwork
from isthmus.config.secret_fields import PlacedReference, login_reference
from isthmus.config.syntax import Node
from isthmus.credentials.xauth import is_user
from isthmus.values.address import IpAddress

ANY = "any"


def _user(cell: Cell) -> str:
    name = fields.text('"branch7"')(cell)
    if not is_user(name):
        raise cell.refuse(
            "is no name of a user",
            "names have at most 128 characters, and no colon",
            f'write {cell.key} = "branch7", as the peer knows us',
        )
    return name


def _ipv4(cell: Cell) -> IpAddress:
    found = network_fields.address(cell)
    if found.version != 4:
        raise _only_ipv4(cell)
    return found


def _addresses(cell: Cell) -> tuple[IpAddress, ...]:
    cells = fields.members(cell, "an address", '"10.1.0.53"')
    return fields.each(cells, _ipv4)


def _asked_address(cell: Cell) -> IpAddress | None:
    return None if cell.node.value == ANY else _ipv4(cell)


def _networks(cell: Cell) -> tuple[PlacedNetwork, ...]:
    found = network_fields.networks(cell)
    if any(placed.network.version != 4 for placed in found):
        raise _only_ipv4(cell)
    return found


def _only_ipv4(cell: Cell) -> fields.Refused:
    return cell.refuse(
        "has an IPv6 address",
        "Mode Config gives out IPv4 addresses",
        f"write IPv4, or leave {cell.key} out",
    )


# [tunnel.NAME]
AGGRESSIVE: Key[bool] = Key(
    "aggressive",
    fields.boolean,
    "true/false",
    "false",
    "Phase 1 of IKEv1 in Aggressive Mode, for peers that have nothing else; needs `allow_weak`."
    " Whoever asks is shown both identities, and a hash to guess the pre-shared key from.",
)
XAUTH: Key[Node] = Key(
    "xauth",
    fields.table,
    "table",
    "(none)",
    "A name and a password after phase 1 of IKEv1: ours, or those of users that we ask.",
)
MODE_CONFIG: Key[Node] = Key(
    "mode_config",
    fields.table,
    "table",
    "(none)",
    "An address inside the tunnel, which IKEv1 asks for or gives out after phase 1.",
)
TUNNEL_KEYS: tuple[Key[object], ...] = (AGGRESSIVE, XAUTH, MODE_CONFIG)

# [tunnel.NAME.xauth]
USER: Key[str] = Key(
    "user", _user, "text", "(none: we are the server)", "Our name, when the peer asks for it."
)
PASSWORD: Key[PlacedReference] = Key(
    "password",
    login_reference(".password"),
    "secret",
    "(required beside `user`)",
    "Our password; see *Secrets*. It is never written into the configuration itself.",
)
USERS: Key[PlacedReference] = Key(
    "users",
    login_reference(".users"),
    "secret",
    "(none: we are the client)",
    "Users that may log in: lines of `isthmus xauth user NAME`, which hold hashes of passwords.",
)
XAUTH_KEYS: tuple[Key[object], ...] = (USER, PASSWORD, USERS)

# [tunnel.NAME.mode_config]
ADDRESS: Key[IpAddress | None] = Key(
    "address",
    _asked_address,
    'address or "any"',
    '"any"',
    "The address that we ask for as a client.",
)
POOL: Key[tuple[PlacedNetwork, ...]] = Key(
    "pool",
    _networks,
    "list of networks",
    "(none: we are the client)",
    "Addresses that we give out as the server, one for each phase 1.",
)
DNS: Key[tuple[IpAddress, ...]] = Key(
    "dns", _addresses, "list of addresses", "(none)", "Name servers that we tell clients of."
)
DOMAIN: Key[str] = Key(
    "domain",
    fields.text('"example.net"'),
    "text",
    "(none)",
    "The domain of names that we tell clients of.",
)
NETWORKS: Key[tuple[PlacedNetwork, ...]] = Key(
    "networks",
    _networks,
    "list of networks",
    "(none)",
    "Networks that we tell clients to reach through the tunnel.",
)
PUSH: Key[bool] = Key(
    "push",
    fields.boolean,
    "true/false",
    "false",
    "Send clients their address unasked, for those that wait for it.",
)
MODE_CONFIG_KEYS: tuple[Key[object], ...] = (ADDRESS, POOL, DNS, DOMAIN, NETWORKS, PUSH)
