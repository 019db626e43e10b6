"""Nobody goes around a log-in or a lent address of IKEv1 by dialling in with IKEv2."""

import pytest

from isthmus.ike.core.commands import Configure, Initiate
from isthmus.policy.connection import (
    AccessRole,
    Configuration,
    IkeVersion,
    ModeConfig,
    V1Terms,
    Xauth,
)

from .pair import LEFT, PHASE1, Pair, connection, rule

USERS = Xauth(AccessRole.SERVER, "site-a")
POOL = ModeConfig(AccessRole.SERVER, pool=("10.1.0.0/24",))


def dialled(terms: V1Terms, ike: IkeVersion = IkeVersion.AUTO, *, is_there: bool = True) -> Pair:
    """The left side, which has the pre-shared key, starts IKEv2 with a tunnel of these terms."""
    right = connection(
        "site-a",
        LEFT,
        (rule(local="10.2.0.0/24", remote="10.1.0.0/24"),),
        PHASE1,
        ike=ike,
        v1=terms,
    )
    pair = Pair(right=right)
    if not is_there:
        pair.right.command(Configure(Configuration()))
    pair.left.command(Initiate("site-b"))
    return pair.settle()


def test_without_terms_auto_answers_ikev2() -> None:
    pair = dialled(V1Terms())
    assert pair.left.view().state == "up" == pair.right.view().state


@pytest.mark.parametrize("ike", [IkeVersion.AUTO, IkeVersion.V2])
@pytest.mark.parametrize(
    "terms",
    [V1Terms(xauth=USERS, mode_config=POOL), V1Terms(xauth=USERS), V1Terms(mode_config=POOL),
     V1Terms(hybrid=True)],
    ids=["both", "log-in", "addresses", "hybrid"],
)  # fmt: skip
def test_a_tunnel_with_terms_is_none_for_ikev2(terms: V1Terms, ike: IkeVersion) -> None:
    pair, nothing = dialled(terms, ike), dialled(terms, ike, is_there=False)
    assert not pair.left.events("phase1.up") and not pair.right.events("phase1.up")
    assert pair.left.sas == {} == pair.right.sas
    said = [datagram.octets for datagram in pair.wire]
    assert said == [datagram.octets for datagram in nothing.wire], "as if it were not there"
