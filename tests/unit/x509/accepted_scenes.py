"""Paths, lists and answers that hold: what a verifier that only says no would fail."""

from isthmus.x509.usage import CLIENT_AUTH, IKE_INTERMEDIATE, IPSEC_IKE, SERVER_AUTH

from . import forge
from .cases import Case, Maker, accepted
from .forge import AT, DAY, YEAR, dn, dns, email, ip, octets, tagged, uri
from .refused_paths import ANY, P1, P2, below, mesh, under
from .refused_status import (
    INTER_KEY,
    POINT,
    REASONS,
    SINCE,
    asked,
    deep,
    delegated,
    indirect,
    indirect_by_name,
    indirectly,
    issuer_alone,
    list_signer,
    listing,
    responder,
    soft,
    strict,
)
from .scenes import (
    CLIENT,
    INTER,
    LEAF,
    ROOT,
    SERVER,
    SOFT,
    STRICT,
    Scene,
    authority,
    inter,
    leaf,
    leaf_answer,
    leaf_list,
    root,
    root_list,
)

PINNED = leaf("P256", "ED25519")
"""Ed25519 signs the same octets the same way, so that this is one certificate each time."""


def _kinds() -> dict[str, Maker]:
    cases: dict[str, Maker] = {}
    for kind in forge.KINDS:
        cases[f"{kind} throughout"] = lambda kind=kind: Scene(
            leaf(kind, kind), inter(kind, kind), root(kind)
        )
        cases[f"{kind} with lists and answers"] = lambda kind=kind: Scene(
            leaf("P256", kind),
            inter(kind, kind),
            root(kind),
            crls=(
                leaf_list().but(signer=forge.key(kind, "inter")),
                root_list().but(signer=forge.key(kind, "root")),
            ),
            answers=(
                leaf_answer().but(
                    signer=forge.key(kind, "inter"),
                    about=forge.cert_id(INTER, forge.key(kind, "inter"), 0x1234),
                ),
            ),
            mode=STRICT,
        )
    for size in (256, 384, 512):
        for pss in (False, True):
            name = f"RSA {'PSS' if pss else 'PKCS #1'} and SHA-{size}"
            cases[name] = lambda size=size, pss=pss: Scene(
                leaf("P256", "RSA", size=size, pss=pss), inter("RSA")
            )
        cases[f"P-521 and SHA-{size}"] = lambda size=size: Scene(
            leaf("P256", "P521", size=size), inter("P521")
        )
    cases["SHA-1 where it is allowed"] = lambda: Scene(leaf(size=1)).ruled(allow_sha1=True)
    cases["a list with SHA-1 where it is allowed"] = lambda: strict(leaf_list().but(size=1)).ruled(
        allow_sha1=True
    )
    cases["1024 bits where they are allowed"] = lambda: Scene(leaf("RSA1024")).ruled(
        rsa_bits_min=1024
    )
    return cases


def _paths() -> dict[str, Maker]:
    cousin = forge.key("P256", "cousin")
    again = forge.key("P256", "root-again")
    return {
        "leaf below the root": lambda: Scene(
            leaf(issuer=ROOT, signer=forge.key("P256", "root")).having(authority_key=None), pool=()
        ),
        "leaf that is itself the anchor": lambda: Scene(PINNED, pool=(), anchors=(PINNED,)),
        "intermediate authority as the anchor": lambda: Scene(pool=(), anchors=(inter(),)),
        "last second": lambda: Scene(leaf(not_after=AT)),
        "first second": lambda: Scene(leaf(not_before=AT)),
        "valid beyond 2050": lambda: Scene(leaf(not_after=AT + 90 * YEAR)),
        "ten anchors of other names": lambda: Scene(
            anchors=(
                *(authority(dn(f"CN={n}"), dn(f"CN={n}"), cousin, cousin) for n in range(10)),
                root(),
            )
        ),
        "another root of the same name beside": lambda: Scene(
            anchors=(authority(ROOT, ROOT, again, again), root())
        ),
        "another root of the same name beside, no key identifiers": lambda: Scene(
            inter=inter().having(authority_key=None),
            anchors=(authority(ROOT, ROOT, again, again).having(subject_key=None), root()),
        ),
        "an expired intermediate certificate beside a current one": lambda: Scene(
            pool=(inter(serial=8, not_after=AT - 1), inter())
        ),
        "a cross certificate that leads nowhere beside": lambda: Scene(
            pool=(inter(issuer=dn("CN=Gone"), signer=cousin).having(authority_key=None), inter())
        ),
        "the root sent along": lambda: Scene(pool=(root(), inter())),
        "64 certificates": lambda: Scene(pool=(inter(),) * 64),
        "everything sent twice": lambda: Scene(pool=(inter(), root(), inter(), root(), leaf())),
        "a root that was renewed with a new key": lambda: Scene(
            inter=inter(signer=again).having(authority_key=None),
            pool=(
                inter(signer=again).having(authority_key=None),
                authority(ROOT, ROOT, again, forge.key("P256", "root")),
            ),
        ),
        "a renewed root does not count in the path length": lambda: Scene(
            inter=inter(signer=again),
            pool=(
                inter(signer=again).having(authority_key=None),
                authority(ROOT, ROOT, again, forge.key("P256", "root")),
            ),
            root=root().having(basic=forge.basic(length=1)),
        ),
        "eight certificates": lambda: below(20, *(None,) * 6),
        "path length just long enough": lambda: below(2, None, None),
        "path lengths that count down": lambda: below(3, 2, 1),
        "path length 0 above a leaf": lambda: below(1, 0),
        "a mesh with a way out": lambda: Scene(
            leaf()
            .but(issuer=dn("O=Mesh, CN=CA 0"), signer=forge.key("P256", "mesh-0-0"))
            .having(authority_key=None),
            pool=mesh(3, 2),
            anchors=(
                authority(
                    dn("O=Mesh, CN=CA 2"),
                    dn("O=Mesh, CN=CA 2"),
                    forge.key("P256", "mesh-2-0"),
                    forge.key("P256", "mesh-2-0"),
                ),
            ),
        ),
        "issuer's name in other case and type": lambda: Scene(
            leaf(issuer=dn("C=ch, O=EXAMPLE, CN=example   issuing ca ", 0x13))
        ),
        "issuer's name as a BMPString": lambda: Scene(
            leaf(issuer=dn("C=CH, O=Example, CN=Example Issuing CA", 0x1E))
        ),
        "no subject but alternative names": lambda: Scene(leaf(subject=dn(""))),
        "no extensions at the leaf": lambda: Scene(leaf(version=None, extensions={})),
        "no key identifiers anywhere": lambda: Scene(
            leaf().having(subject_key=None, authority_key=None),
            inter().having(subject_key=None, authority_key=None),
            root().having(subject_key=None, authority_key=None),
        ),
        "unknown extensions that are not critical": lambda: Scene(
            leaf().having(strange=forge.unknown(critical=False)),
            inter().having(strange=forge.unknown(critical=False)),
        ),
        "basic constraints not critical": lambda: Scene(
            inter=inter().having(basic=forge.basic(critical=False))
        ),
        "a leaf marked as an authority": lambda: Scene(leaf().having(basic=forge.basic())),
        "a negative serial number": lambda: Scene(leaf(serial=-5)),
        "a serial number of 20 octets": lambda: Scene(leaf(serial=(1 << 159) + 1)),
    }


def _usages() -> dict[str, Maker]:
    cases: dict[str, Maker] = {
        "no key usage": lambda: Scene(leaf().having(usage=None)),
        "nonRepudiation alone": lambda: Scene(leaf().having(usage=forge.usage(1))),
        "no key usage at inter": lambda: Scene(inter=inter().having(usage=None)),
        "no extended key usage": lambda: Scene(leaf().having(purposes=None)),
        "codeSigning where nobody asks": lambda: Scene(
            leaf().having(purposes=forge.purposes("1.3.6.1.5.5.7.3.3"))
        ).ruled(eku=SERVER.ANY),
        "a client where one is asked for": lambda: Scene(
            leaf().having(purposes=forge.purposes(CLIENT_AUTH))
        ).ruled(eku=CLIENT),
        "a server where one is asked for": lambda: Scene(
            leaf().having(purposes=forge.purposes(SERVER_AUTH))
        ).ruled(eku=SERVER),
        "inter for servers and clients": lambda: Scene(
            inter=inter().having(purposes=forge.purposes(SERVER_AUTH, CLIENT_AUTH))
        ),
        "root for code signing": lambda: Scene(
            root=root().having(purposes=forge.purposes("1.3.6.1.5.5.7.3.3"))
        ),
    }
    for what, purpose in (
        ("ipsecIKE", IPSEC_IKE),
        ("iKEIntermediate", IKE_INTERMEDIATE),
        ("serverAuth", SERVER_AUTH),
        ("clientAuth", CLIENT_AUTH),
        ("ipsecEndSystem", "1.3.6.1.5.5.7.3.5"),
        ("ipsecTunnel", "1.3.6.1.5.5.7.3.6"),
        ("any purpose", "2.5.29.37.0"),
    ):
        cases[f"{what} alone"] = lambda purpose=purpose: Scene(
            leaf().having(purposes=forge.purposes(purpose))
        )
    return cases


def _names() -> dict[str, Maker]:
    def scene(permitted: list[bytes], excluded: list[bytes], *names: bytes) -> Scene:
        return Scene(
            leaf().having(names=forge.names(*names)),
            inter().having(c=forge.subtrees(permitted, excluded)),
        )

    table: dict[str, tuple[list[bytes], list[bytes], bytes]] = {
        "DNS itself": ([dns("gw.example.net")], [], dns("gw.example.net")),
        "DNS below": ([dns("example.net")], [], dns("a.b.example.net")),
        "DNS in other case": ([dns("EXAMPLE.NET")], [], dns("gw.example.net")),
        "DNS below a leading dot": ([dns(".example.net")], [], dns("gw.example.net")),
        "DNS in one of two": ([dns("a.org"), dns("example.net")], [], dns("gw.example.net")),
        "DNS beside what is excluded": ([], [dns("vpn.example.net")], dns("gw.example.net")),
        "DNS that ends like what is excluded": ([], [dns("w.example.net")], dns("gw.example.net")),
        "DNS where addresses are constrained": ([ip("192.0.2.0/24")], [], dns("gw.example.net")),
        "email by host": ([email("example.net")], [], email("A@EXAMPLE.net")),
        "email by domain": ([email(".example.net")], [], email("a@mail.example.net")),
        "email by person": ([email("a@example.net")], [], email("a@Example.net")),
        "email beside what is excluded": ([], [email("b@example.net")], email("a@example.net")),
        "URI by host": ([uri("example.net")], [], uri("http://u@EXAMPLE.net:8/x?y#z")),
        "URI by domain": ([uri(".example.net")], [], uri("http://a.example.net")),
        "IPv4 within": ([ip("192.0.2.0/24")], [], ip("192.0.2.200")),
        "IPv4 itself": ([ip("192.0.2.1/32")], [], ip("192.0.2.1")),
        "IPv6 within": ([ip("2001:db8::/32")], [], ip("2001:db8:1::1")),
        "IPv6 where IPv4 is excluded": ([], [ip("0.0.0.0/0")], ip("2001:db8::1")),
        "DN within": (
            [forge.directory(dn("C=CH, O=Example", 0x13))],
            [],
            forge.directory(dn("C=CH, O=EXAMPLE, CN=x")),
        ),
        "DN beside what is excluded": (
            [],
            [forge.directory(dn("C=CH, O=Bad"))],
            forge.directory(dn("C=CH, O=Badly, CN=x")),
        ),
        "otherName where nothing is said": ([dns("example.net")], [], forge.other_name()),
    }
    cases: dict[str, Maker] = {
        f"{what} (constraints)": lambda permitted=permitted, excluded=excluded, name=name: scene(
            permitted, excluded, name
        )
        for what, (permitted, excluded, name) in table.items()
    }
    cases["constraints pass over a self-issued authority"] = lambda: Scene(
        inter=inter(signer=forge.key("P256", "root-again")),
        pool=(
            inter(signer=forge.key("P256", "root-again")).having(authority_key=None),
            authority(ROOT, ROOT, forge.key("P256", "root-again"), forge.key("P256", "root")),
        ),
        root=root().having(
            c=forge.subtrees((), [forge.directory(dn("C=CH, O=Example, CN=Example Root"))])
        ),
    )
    return cases


def _policies() -> dict[str, Maker]:
    require = forge.policy_constraints(explicit=0)

    def with_policies(at_inter: object, at_leaf: object, **more: object) -> Scene:
        return Scene(
            leaf().having(policies=at_leaf),  # type: ignore[arg-type]
            inter().having(policies=at_inter, **more),  # type: ignore[arg-type]
        )

    return {
        "one policy": lambda: with_policies(forge.policies(P1), forge.policies(P1), c=require),
        "any policy above": lambda: with_policies(
            forge.policies(ANY), forge.policies(P1), c=require
        ),
        "any policy below": lambda: with_policies(
            forge.policies(P1), forge.policies(ANY), c=require
        ),
        "one of two": lambda: with_policies(
            forge.policies(P1, P2), forge.policies(P2), c=require
        ).ruled(policies=frozenset({P2})),
        "a mapped policy": lambda: with_policies(
            forge.policies(P1), forge.policies(P2), c=require, m=forge.mappings((P1, P2))
        ).ruled(policies=frozenset({P1}), explicit_policy=True),
        "a policy mapped from any": lambda: with_policies(
            forge.policies(ANY), forge.policies(P2), c=require, m=forge.mappings((P1, P2))
        ).ruled(policies=frozenset({P1}), explicit_policy=True),
        "none where none is asked for": lambda: with_policies(forge.policies(P1), None),
        "policies that differ where none is asked for": lambda: with_policies(
            forge.policies(P1), forge.policies(P2)
        ),
        "mapping inhibited only further below": lambda: under(
            (forge.policies(P1), forge.policy_constraints(0, 2)),
            (forge.policies(P1),),
            (forge.policies(P1), forge.mappings((P1, P2))),
            leaf_policy=P2,
        ),
        "any policy inhibited only further below": lambda: under(
            (forge.policies(P1), forge.policy_constraints(0), forge.inhibit_any(2)),
            (forge.policies(P1),),
            (forge.policies(ANY),),
            leaf_policy=P1,
        ),
        "explicit policy asked further below": lambda: Scene(
            inter=inter().having(c=forge.policy_constraints(explicit=3))
        ),
    }


def _namesake(number: int) -> forge.Spec:
    """A certificate in the intermediate authority's name that the peer made for itself."""
    key = forge.key("P256", f"namesake-{number}")
    return authority(INTER, INTER, key, key)


def _lists() -> dict[str, Maker]:
    lists = forge.key("P256", "lists")
    pointed = leaf().having(points=forge.points(forge.point([POINT])))
    cases: dict[str, Maker] = {
        "lists without entries": lambda: strict(leaf_list()),
        "lists with other entries": lambda: strict(
            leaf_list().but(entries=tuple((n, SINCE, (forge.reason(1),)) for n in range(500)))
        ),
        "a list for users": lambda: strict(leaf_list().but(extensions=(forge.scope(users=True),))),
        "a list for authorities about inter": lambda: Scene(
            crls=(leaf_list(), root_list().but(extensions=(forge.scope(authorities=True),))),
            mode=STRICT,
        ),
        "the list of the distribution point": lambda: strict(
            leaf_list().but(extensions=(forge.scope([POINT]),)), leaf=pointed
        ),
        "the whole list though a distribution point is named": lambda: strict(
            leaf_list(), leaf=pointed
        ),
        "the list of a relative distribution point": lambda: strict(
            leaf_list().but(extensions=(forge.scope(relative=forge.attribute("CN", "a")),)),
            leaf=leaf().having(
                points=forge.points(forge.point(relative=forge.attribute("CN", "A")))
            ),
        ),
        "two lists that share the reasons": lambda: strict(
            leaf_list().but(extensions=(forge.scope(reasons=(1, 2)),)),
            leaf_list().but(extensions=(forge.scope(reasons=(3, 4, 5, 6, 7, 8)),)),
        ),
        "a list of version 1": lambda: strict(leaf_list().but(version=None, extensions=())),
        "a list without a date, an hour old": lambda: strict(
            leaf_list().but(this_update=AT - 3600, next_update=None)
        ),
        "a list of a clock a little ahead": lambda: strict(leaf_list().but(this_update=AT + 300)),
        "a list in its last second": lambda: strict(leaf_list().but(next_update=AT)),
        "a list by a certified signer": lambda: strict(
            leaf_list().but(signer=lists), extra=(list_signer(),)
        ),
        "a list by a certified signer beside twenty that the peer sent": lambda: strict(
            leaf_list().but(signer=lists),
            extra=(list_signer(),),
            pool=(inter(), *(_namesake(n) for n in range(20))),
        ),
        "an indirect list": lambda: strict(indirect(), **indirectly()),
        "an indirect list by its issuer's name": lambda: strict(
            indirect_by_name(ROOT), **issuer_alone()
        ),
        "an indirect list by a relative name": lambda: strict(
            root_list().but(
                extensions=(forge.scope(relative=forge.attribute("CN", "a"), indirect=True),)
            ),
            leaf=leaf().having(
                points=forge.points(
                    forge.point(
                        relative=forge.attribute("CN", "a"), issuers=[forge.directory(ROOT)]
                    )
                )
            ),
        ),
        "an indirect list with the number of another issuer": lambda: strict(
            indirect((0x1234, SINCE, ())), **indirectly()
        ),
        "a stale list with a current delta list": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(5),), next_update=AT - 1),
            leaf_list().but(extensions=(forge.crl_number(6), forge.delta_of(5))),
        ),
        "taken off hold by a delta list": lambda: strict(
            leaf_list().but(
                extensions=(forge.crl_number(5),), entries=listing(0x1234, forge.reason(6))
            ),
            leaf_list().but(
                extensions=(forge.crl_number(6), forge.delta_of(5)),
                entries=listing(0x1234, forge.reason(8)),
            ),
        ),
        "revoked, and nobody looks": lambda: strict(
            leaf_list().but(entries=listing()), mode=SOFT.OFF
        ),
        "no list, soft": lambda: Scene(mode=SOFT),
        "a stale list, soft": lambda: soft(leaf_list().but(next_update=AT - 1)),
        "a forged list that revokes, soft": lambda: soft(
            leaf_list().but(entries=listing(), signer=forge.key("P256", "stranger"))
        ),
        "a list elsewhere that revokes": lambda: strict(
            leaf_list(),
            leaf_list().but(entries=listing(), extensions=(forge.scope([POINT]),)),
        ),
    }
    for why in REASONS[1:3]:
        cases[f"another certificate revoked for reason {why}"] = lambda why=why: strict(
            leaf_list().but(entries=listing(0x1233, forge.reason(why)))
        )
    return cases


def _answers() -> dict[str, Maker]:
    issuer = forge.key(*INTER_KEY)
    return {
        "an answer by the issuer's name": lambda: asked(leaf_answer()),
        "an answer by the issuer's key": lambda: asked(
            leaf_answer().but(responder=tagged(2, octets(forge.key_identifier(issuer))))
        ),
        "an answer with SHA-256 names": lambda: asked(
            leaf_answer().but(about=forge.cert_id(INTER, issuer, 0x1234, "sha256"))
        ),
        "an answer about the largest serial number": lambda: asked(
            leaf_answer().but(about=forge.cert_id(INTER, issuer, (1 << 160) - 1)),
            leaf=leaf(serial=(1 << 160) - 1),
        ),
        "an answer by a delegated responder": lambda: asked(delegated()),
        "an answer by a delegated responder by key": lambda: asked(
            delegated(
                responder=tagged(2, octets(forge.key_identifier(forge.key("P256", "responder"))))
            )
        ),
        "a delegated responder without no-check, not listed": lambda: asked(
            delegated(responder().having(no_check=None)), crls=(leaf_list(),)
        ),
        "lists and answers from the network": lambda: asked(
            leaf_answer(), crls=(leaf_list(), root_list()), admitted=True
        ),
        "an indirect list from the network": lambda: strict(
            indirect(), **indirectly(), admitted=True
        ),
        "lists whose signers are on lists, two deep": lambda: deep(2),
        "an answer with the nonce that was sent": lambda: asked(
            leaf_answer().but(nonce=b"n" * 32), nonce=b"n" * 32
        ),
        "an answer without the nonce that was sent": lambda: asked(leaf_answer(), nonce=b"n" * 32),
        "an answer with a nonce": lambda: asked(leaf_answer().but(nonce=b"n" * 32)),
        "an answer without a date, an hour old": lambda: asked(leaf_answer().but(next_update=None)),
        "an answer with unknown extensions": lambda: asked(
            leaf_answer().but(
                extensions=(forge.unknown(critical=False),),
                single_extensions=(forge.unknown(critical=False),),
            )
        ),
        "an answer with eight certificates": lambda: asked(
            delegated(certificates=(responder().der(),) * 8)
        ),
        "an answer for one and a list for the other": lambda: Scene(
            answers=(leaf_answer(),), crls=(root_list(),), mode=STRICT
        ),
        "an answer though the list is stale": lambda: strict(
            leaf_list().but(next_update=AT - DAY), answers=(leaf_answer(),)
        ),
        "a list though the answer is stale": lambda: strict(
            leaf_list(), answers=(leaf_answer().but(next_update=AT - 1),)
        ),
        "an answer that does not know, soft": lambda: asked(
            leaf_answer().but(status=forge.UNKNOWN), mode=SOFT
        ),
        "a forged answer that revokes, soft": lambda: asked(
            leaf_answer().but(status=forge.revoked(SINCE), signer=forge.key("P256", "stranger")),
            mode=SOFT,
        ),
        "an answer about somebody else, soft": lambda: asked(
            leaf_answer().but(
                status=forge.revoked(SINCE), about=forge.cert_id(INTER, issuer, 0x1235)
            ),
            mode=SOFT,
        ),
        "the responder's certificate among unreadable ones": lambda: asked(
            delegated(certificates=(forge.seq(), responder().der(), leaf(subject=LEAF).der()))
        ),
    }


def cases() -> list[Case]:
    """All of them."""
    return accepted(
        _kinds() | _paths() | _usages() | _names() | _policies() | _lists() | _answers()
    )
