"""XAUTH and Mode Config behind phase 1 of IKEv1: both roles, order, refusals, addresses."""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from isthmus.credentials.xauth import Login, Users, hashed
from isthmus.crypto.entropy import SeededEntropy
from isthmus.ike.core.commands import Configure, Initiate, Terminate
from isthmus.ike.core.context import Context
from isthmus.ike.core.effects import AssignAddress, CheckLogin, Compute, SendDatagram
from isthmus.ike.core.events import DatagramReceived, DeadlineReached
from isthmus.ike.engine import IkeEngine
from isthmus.ike.v1 import phase1
from isthmus.ike.v1.exchanges import transaction
from isthmus.ike.v1.sa import SaV1
from isthmus.ike.v1.states import AwaitLogin
from isthmus.policy.assigned import Assigned
from isthmus.policy.connection import (
    AccessRole,
    ChildPolicy,
    Configuration,
    Connection,
    IkeVersion,
    ModeConfig,
    Start,
    V1Terms,
    Xauth,
)
from isthmus.values.identity import Identity
from isthmus.values.registry.ikev1 import ExchangeType
from isthmus.values.secret import Secret
from isthmus.wire.header import HEADER_SIZE, Header

from .pair import LEFT, RIGHT, Keys, Pair, Side, connection, rule

PHASE1 = ("aes128-sha256-prfsha256-ecp256",)
PHASE2 = ("aes128-sha256-ecp256",)
PASSWORD = Secret(b"bob's own password")
USERS = Users({"bob": hashed(PASSWORD, SeededEntropy(5))})
POOL = ModeConfig(
    AccessRole.SERVER,
    pool=("10.99.0.0/29",),
    dns=("10.2.0.53",),
    domain="hq.example",
    networks=("10.2.0.0/24",),
)
ANY = ModeConfig(AccessRole.CLIENT)
GIVEN = IPv4Address("10.99.0.1")
CLIENT_KEYS = {"site-b": Login(password=PASSWORD)}
SERVER_KEYS = {"site-a": Login(users=USERS)}


def client(
    local: str = "10.99.0.0/24",
    user: str | None = "bob",
    config: ModeConfig | None = ANY,
) -> Connection:
    """The left side, which dials in."""
    xauth = None if user is None else Xauth(AccessRole.CLIENT, "site-b", user)
    return connection(
        "site-b",
        RIGHT,
        (rule(local=local, proposals=PHASE2),),
        PHASE1,
        ike=IkeVersion.V1,
        v1=V1Terms(xauth=xauth, mode_config=config),
    )


def server(
    remote: str = "10.99.0.0/24",
    xauth: bool = True,
    config: ModeConfig | None = POOL,
) -> Connection:
    """The right side, which has users and addresses."""
    terms = Xauth(AccessRole.SERVER, "site-a") if xauth else None
    rules: tuple[ChildPolicy, ...] = (rule(local="10.2.0.0/24", remote=remote, proposals=PHASE2),)
    return connection(
        "site-a",
        LEFT,
        rules,
        PHASE1,
        ike=IkeVersion.V1,
        v1=V1Terms(xauth=terms, mode_config=config),
    )


def pair(
    left: Connection | None = None,
    right: Connection | None = None,
    password: Secret | None = PASSWORD,
    users: Users | None = USERS,
) -> Pair:
    """Two sides that fit each other, unless the test says otherwise."""
    return Pair(
        left or client(),
        right or server(),
        Keys(logins={"site-b": Login(password=password)}),
        Keys(logins={"site-a": Login(users=users)}),
    )


def selectors(side: Side) -> list[tuple[str, str]]:
    """Both ends of each pair, as the plane was told."""
    return [
        (str(sa.local_selectors[0]), str(sa.remote_selectors[0]))
        for sa in side.sas.values()
        if sa.inbound
    ]


def failure(side: Side) -> str:
    """The code of the last failure."""
    found = side.view().failure
    return "" if found is None else found.code


def exchanges(both: Pair) -> list[int]:
    """What went over the wire, by exchange."""
    return [Header.decode(d.octets).exchange for d in both.wire]


@pytest.mark.parametrize("push", [False, True])
def test_a_client_logs_in_and_is_given_an_address(push: bool) -> None:
    both = pair(right=server(config=replace(POOL, push=push)))
    both.establish()
    both.agree()
    assert both.left.addresses == {"site-b": GIVEN} and both.right.addresses == {}
    assert selectors(both.left) == [(f"{GIVEN}/32", "10.2.0.0/24")]
    assert selectors(both.right) == [("10.2.0.0/24", f"{GIVEN}/32")]
    ours, theirs = both.left.view().phase1, both.right.view().phase1
    assert ours is not None and theirs is not None
    assert ours.assigned == theirs.assigned and ours.assigned is not None
    assert (ours.assigned.domain, str(ours.assigned.dns[0])) == ("hq.example", "10.2.0.53")
    assert (ours.assigned_to_us, theirs.assigned_to_us) == (True, False)
    assert (ours.user, theirs.user) == ("", "bob")
    assert both.right.events("xauth.admitted") and both.left.events("mode_config.taken")


def test_the_password_is_in_no_record() -> None:
    both = pair()
    both.establish()
    said = repr(both.left.happenings) + repr(both.right.happenings)
    assert "own password" not in said and PASSWORD.reveal().hex() not in said
    shown = repr([e for e in both.right.effects if isinstance(e, Compute)])
    assert "CheckLogin" in shown and "own password" not in shown


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (client(local="10.1.0.0/24", config=None), server("10.1.0.0/24", config=None)),
        (client(user=None), server(xauth=False)),
    ],
    ids=["log-in alone", "address alone"],
)
def test_each_goes_without_the_other(left: Connection, right: Connection) -> None:
    both = pair(left, right)
    both.establish()
    both.agree()
    assert bool(both.left.addresses) is (left.v1.mode_config is not None)


def test_phase_1_ends_and_the_address_with_it() -> None:
    both = pair()
    both.establish()
    both.down(both.left)
    both.settle()
    assert both.left.addresses == {}
    assert both.left.view().state == "down" == both.right.view().state
    both.advance(60)
    assert both.left.sas == {} == both.right.sas


@pytest.mark.parametrize("password", [b"wrong", b"bob's own passwor", b"bob's own password\xff"])
def test_a_wrong_password_ends_it_on_both_sides(password: bytes) -> None:
    both = pair(password=Secret(password))
    both.left.command(Initiate("site-b"))
    both.settle()
    assert (failure(both.left), failure(both.right)) == ("E170", "E170")
    assert both.left.sas == {} == both.right.sas and both.left.addresses == {}
    assert ExchangeType.QUICK_MODE not in exchanges(both)
    assert not both.right.events("phase1.up") and not both.left.events("phase1.up")


def test_an_unknown_user_is_told_the_same_as_one_with_a_wrong_password() -> None:
    """And over the wire both look alike: as many messages of the same sizes."""
    sizes = []
    for left, password in (
        (client(user="eve"), PASSWORD),
        (client(), Secret(b"eve's own password")),
    ):
        both = pair(left, password=password)
        both.left.command(Initiate("site-b"))
        both.settle()
        assert (failure(both.left), failure(both.right)) == ("E170", "E170")
        sizes.append([len(d.octets) for d in both.wire])
    assert sizes[0] == sizes[1]


def test_a_server_without_users_lets_nobody_in() -> None:
    both = pair(users=None)
    both.left.command(Initiate("site-b"))
    both.settle()
    assert (failure(both.left), failure(both.right)) == ("E170", "E171")
    assert both.right.sas == {}


def test_a_client_without_its_password_says_so() -> None:
    both = pair(password=None)
    both.left.command(Initiate("site-b"))
    both.settle()
    assert (failure(both.left), failure(both.right)) == ("E171", "E171")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (client(user=None), server()),
        (client(), server(xauth=False)),
    ],
)
def test_who_is_configured_without_a_log_in_has_no_phase_1_with_one(
    left: Connection, right: Connection
) -> None:
    """XAUTH is part of what phase 1 agrees on: it can be neither left out nor put in."""
    both = pair(left, right)
    both.left.command(Initiate("site-b"))
    both.settle().advance(3)
    assert failure(both.left) == "E110"
    assert both.right.sas == {} and not both.right.events("phase1.up")


def test_quick_mode_is_not_heard_before_the_log_in_is_done() -> None:
    both = pair()
    both.right.held_computes = []
    both.left.command(Initiate("site-b"))
    while not any(isinstance(c.job, CheckLogin) for c in both.right.held_computes):
        for each in tuple(both.right.held_computes):
            if not isinstance(each.job, CheckLogin):
                both.right.held_computes.remove(each)
                both.right.compute(each)
        assert both.step() or both.right.held_computes
    assert both.right.view().state == "negotiating" or both.right.view().state == "down"
    header = Header.decode(both.wire[-1].octets)
    for exchange in (ExchangeType.QUICK_MODE, ExchangeType.TRANSACTION):
        forged = replace(header, exchange=exchange, message_id=77)
        octets = forged.encode(HEADER_SIZE + 64) + bytes(64)
        both.deliver(both.left, SendDatagram(both.wire[-1].local, both.wire[-1].remote, octets))
    assert both.right.sas == {}
    (waiting,) = both.right.held_computes
    both.right.held_computes = None
    both.right.compute(waiting)
    both.settle()
    assert both.right.view().state == "up"


@pytest.mark.parametrize("skipped", ["log-in", "address", "both"])
def test_a_client_that_skips_what_is_due_gets_no_phase_2(
    skipped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages are authentic: it has the pre-shared key of phase 1, and nothing else."""
    finish, go_on = transaction.finish, transaction._go_on

    def pretend(ctx: Context, sa: SaV1) -> None:
        sa.assigned = Assigned(GIVEN)
        ctx.emit(AssignAddress("site-b", GIVEN, up=True))
        phase1.stand(ctx, sa)

    def finished(ctx: Context, sa: SaV1, *, peer_is_new: bool) -> None:
        if not sa.initiator or skipped == "address":
            finish(ctx, sa, peer_is_new=peer_is_new)
            return
        if skipped == "both":
            pretend(ctx, sa)
            return
        sa.state = AwaitLogin()
        go_on(ctx, sa)

    def gone_on(ctx: Context, sa: SaV1) -> None:
        if sa.initiator and skipped == "address":
            pretend(ctx, sa)
            return
        go_on(ctx, sa)

    monkeypatch.setattr(transaction, "finish", finished)
    monkeypatch.setattr(transaction, "_go_on", gone_on)
    both = pair()
    both.left.command(Initiate("site-b"))
    both.settle().advance(20)
    asked = ExchangeType.QUICK_MODE in exchanges(both)
    assert asked is (skipped != "log-in")
    reasons = {dict(h.detail).get("reason") for h in both.right.events("datagram.dropped")}
    assert reasons & {"not_authenticated", "not_authenticated_yet"}
    assert both.right.sas == {} and not both.right.events("phase1.up")
    both.advance(60)
    assert failure(both.right) == ("E173" if skipped == "address" else "E171")


def test_an_address_that_no_rule_has_is_not_taken() -> None:
    both = pair(client(local="10.1.0.0/24"))
    both.left.command(Initiate("site-b"))
    both.settle()
    assert failure(both.left) == "E172" and both.left.addresses == {}
    assert both.left.sas == {} == both.right.sas
    assert both.right.view().phase1 is None, "it was told that phase 1 is over"


def test_a_pool_that_is_empty_gives_nothing() -> None:
    both = pair(right=server(config=replace(POOL, pool=())))
    both.left.command(Initiate("site-b"))
    both.settle()
    assert (failure(both.left), failure(both.right)) == ("E172", "E173")


def test_a_client_asks_for_the_address_that_it_wants() -> None:
    wanted = IPv4Address("10.99.0.5")
    both = pair(client(config=ModeConfig(AccessRole.CLIENT, address=str(wanted))))
    both.establish()
    assert both.left.addresses == {"site-b": wanted}


def test_messages_that_are_lost_come_again() -> None:
    """Each datagram of phase 1 and what follows is lost once."""
    for lost in range(16):
        both = pair()
        both.left.command(Initiate("site-b"))
        count = 0
        for _ in range(60):
            moved = False
            for side in (both.left, both.right):
                if side.out:
                    datagram = side.out.pop(0)
                    if count != lost:
                        both.deliver(side, datagram)
                    count += 1
                    moved = True
            if not moved:
                both.advance(1, deliver=False)
        both.settle()
        assert both.left.view().state == "up", (lost, both.left.happenings[-3:])
        both.agree()
        assert both.left.addresses == {"site-b": GIVEN}


def test_a_server_that_falls_silent_is_given_up() -> None:
    both = pair()
    both.left.command(Initiate("site-b"))
    while ExchangeType.TRANSACTION not in exchanges(both):
        assert both.step()
    both.lose()
    both.advance(70, deliver=False)
    assert failure(both.left) == "E171"
    assert both.left.view().phase1 is None or both.left.view().state != "up"
    assert both.right.view().phase1 is None


def test_a_renewed_phase_1_keeps_the_address() -> None:
    both = pair()
    both.establish()
    both.left.effects.clear()
    for side in (both.left, both.right):
        both.rekey(side, phase=1)
        both.settle().advance(30)
        assert both.left.addresses == {"site-b": GIVEN}
        both.agree()
    assert not [e for e in both.left.effects if isinstance(e, AssignAddress) and not e.up]


def test_a_client_that_comes_back_after_a_crash_has_its_address_again() -> None:
    both = pair()
    both.establish()
    again = Pair(client(), server(), Keys(logins=CLIENT_KEYS), Keys(logins=SERVER_KEYS), seed=70)
    again.now, again.right = both.now, both.right
    again.right.clock = lambda: again.now
    again.left.command(Initiate("site-b"))
    again.settle()
    assert again.left.view().state == "up"
    assert again.left.addresses == {"site-b": GIVEN}


def test_start_always_comes_up_by_itself_with_its_address() -> None:
    left = client()
    left = replace(left, rules=tuple(replace(each, start=Start.ALWAYS) for each in left.rules))
    both = pair(left)
    both.settle().advance(2)
    assert both.left.view().state == "up" and both.left.addresses == {"site-b": GIVEN}
    both.left.command(Terminate("site-b"))
    both.settle()
    assert both.left.addresses == {}


class Office:
    """A gateway that several clients dial into by one tunnel, with one secret and one identity."""

    def __init__(self, *users: str, right: Connection | None = None) -> None:
        self.now = 1000.0
        people = {u: hashed(Secret(u.encode()), SeededEntropy(9)) for u in set(users)}
        gate = replace(right or server(), peer=None, remote_id=Identity.parse("fqdn:clients"))
        gate = replace(gate, local_id=Identity.parse("fqdn:office"))
        self.gate = self._side("gate", RIGHT, gate, Login(users=Users(people)), "site-a")
        self.clients = [
            self._side(
                user,
                f"192.0.2.{number}",
                replace(
                    client(user=user),
                    local_id=Identity.parse("fqdn:clients"),
                    remote_id=Identity.parse("fqdn:office"),
                ),
                Login(password=Secret(user.encode())),
                "site-b",
            )
            for number, user in enumerate(users, start=10)
        ]

    def _side(
        self, name: str, address: str, tunnel: Connection, login: Login, login_name: str
    ) -> Side:
        seed = 100 + sum(address.encode())
        keys = Keys(logins={login_name: login})
        side = Side(name, address, IkeEngine(SeededEntropy(seed), keys), lambda: self.now)
        side._entropy = SeededEntropy(seed + 500)
        side.command(Configure(Configuration((tunnel,))))
        return side

    def settle(self) -> None:
        """Deliver until nothing is on its way."""
        by_address = {side.address: side for side in (self.gate, *self.clients)}
        for _ in range(500):
            sender = next((s for s in by_address.values() if s.out), None)
            if sender is None:
                return
            datagram = sender.out.pop(0)
            source = replace(datagram.local, address=sender.address)
            received = DatagramReceived(datagram.remote, source, datagram.octets)
            by_address[datagram.remote.address].feed(received)
        raise AssertionError("they never stop talking")

    def advance(self, seconds: float) -> None:
        """Let time pass, firing timers on the way."""
        until = self.now + seconds
        while True:
            sides = [s for s in (self.gate, *self.clients) if s.engine.deadline is not None]
            side = min(sides, key=lambda s: s.engine.deadline or 0.0, default=None)
            if side is None or side.engine.deadline is None or side.engine.deadline > until:
                self.now = until
                return
            self.now = max(self.now, float(side.engine.deadline))
            side.feed(DeadlineReached())
            self.settle()

    def dial_in(self, number: int) -> Side:
        """One client begins."""
        side = self.clients[number]
        side.command(Initiate("site-b"))
        self.settle()
        self.advance(2)
        assert side.view().state == "up", side.happenings[-3:]
        return side

    def agree(self, side: Side) -> bool:
        """What a client sends on, the gateway hears on."""
        sends = [spi for spi, inbound in side.sas if not inbound]
        return bool(sends) and all((spi, True) in self.gate.sas for spi in sends)


def test_users_behind_one_identity_each_have_an_address_and_a_pair() -> None:
    office = Office("ann", "bob", "eve")
    for number in range(3):
        office.dial_in(number)
    office.advance(30)
    given = [side.addresses["site-b"] for side in office.clients]
    assert given == [IPv4Address(f"10.99.0.{n}") for n in (1, 2, 3)]
    assert all(office.agree(side) for side in office.clients)
    assert len({remote for _, remote in selectors(office.gate)}) == 3
    office.clients[1].command(Terminate("site-b"))
    office.settle()
    office.advance(60)
    assert office.agree(office.clients[0]) and office.agree(office.clients[2])
    assert len(selectors(office.gate)) == 2
    again = office.dial_in(1)
    assert again.addresses["site-b"] == IPv4Address("10.99.0.2"), "the lowest that is free"


def test_a_user_who_dials_in_twice_has_one_address() -> None:
    office = Office("ann", "ann")
    first, second = office.dial_in(0), office.dial_in(1)
    assert first.addresses == second.addresses
    office.advance(30)
    assert office.agree(second)


def test_the_pool_has_so_many_addresses_and_no_more() -> None:
    small = server(config=replace(POOL, pool=("10.99.0.0/30",)))
    office = Office("ann", "bob", "eve", right=small)
    office.dial_in(0)
    office.dial_in(1)
    office.clients[2].command(Initiate("site-b"))
    office.settle()
    assert failure(office.clients[2]) == "E172" and office.clients[2].sas == {}
    assert office.agree(office.clients[0]) and office.agree(office.clients[1])
