"""Two sites that speak IKEv1, for the tests of its exchanges."""

from isthmus.policy.connection import ChildPolicy, Connection, IkeVersion

from .pair import LEFT, RIGHT, Keys, Pair, connection, rule

PHASE1_V1 = ("aes128-sha256-modp2048",)
PHASE2_V1 = ("aes128gcm16-noesn",)
PFS_V1 = ("aes256-sha256-modp2048-noesn",)


def site(name: str, peer: str | None, rules: tuple[ChildPolicy, ...], **more: object) -> Connection:
    """A tunnel whose phase 1 is IKEv1's."""
    settings: dict[str, object] = {"proposals": PHASE1_V1, "ike": IkeVersion.V1, **more}
    return connection(name, peer, rules, **settings)  # type: ignore[arg-type]


def two_sites(
    proposals: tuple[str, ...] = PHASE2_V1,
    left_keys: Keys | None = None,
    right_keys: Keys | None = None,
    left: dict[str, object] | None = None,
    right: dict[str, object] | None = None,
    seed: int = 7,
) -> Pair:
    """Both ends of one tunnel; `left` and `right` are settings of one end each."""
    ours = rule(proposals=proposals)
    theirs = rule(local="10.2.0.0/24", remote="10.1.0.0/24", proposals=proposals)
    return Pair(
        site("site-b", RIGHT, (ours,), **(left or {})),
        site("site-a", LEFT, (theirs,), **(right or {})),
        left_keys,
        right_keys,
        seed,
    )
