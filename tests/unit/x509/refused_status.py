"""Revoked, stale, forged or misdirected revocation lists and OCSP answers, one defect each."""

from collections.abc import Callable

from isthmus.x509.der import Reader, encode

from . import forge
from .cases import Case, Maker, refused
from .forge import AT, DAY, YEAR, AnswerSpec, ListSpec, Spec, dn, octets, seq, tagged
from .refused_forms import indefinite, long_form, unused_bits
from .scenes import (
    INTER,
    LEAF,
    ROOT,
    SOFT,
    STRICT,
    Scene,
    authority,
    default_leaf,
    inter,
    inter_answer,
    leaf,
    leaf_answer,
    leaf_list,
    root_list,
)

SINCE = AT - 2 * DAY
REASONS = (0, 1, 2, 3, 4, 5, 6, 9, 10)
INTER_KEY = "P256", "inter"
HELPER = dn("C=CH, O=Example, CN=Helper")
POINT = forge.uri("http://crl.example.net/a.crl")
OTHER_POINT = forge.uri("http://crl.example.net/b.crl")


def listing(serial: int = 0x1234, *more: forge.Extension) -> tuple:  # type: ignore[type-arg]
    return ((serial, SINCE, more),)


def strict(first: ListSpec, *others: ListSpec, **fields: object) -> Scene:
    """A list (or more) about the leaf, a good one about the intermediate authority."""
    return Scene(crls=(first, *others, root_list()), mode=STRICT).but(**fields)


def soft(first: ListSpec, *others: ListSpec, **fields: object) -> Scene:
    return strict(first, *others, **fields).but(mode=SOFT)


def asked(first: AnswerSpec, **fields: object) -> Scene:
    """An answer about the leaf, a good one about the intermediate authority."""
    return Scene(answers=(first, inter_answer()), mode=STRICT).but(**fields)


def _revoked_by_list() -> dict[str, Maker]:
    cases: dict[str, Maker] = {
        "leaf on the list": lambda: strict(leaf_list().but(entries=listing())),
        "leaf on the list, soft": lambda: soft(leaf_list().but(entries=listing())),
        "leaf on a list that is stale, soft": lambda: soft(
            leaf_list().but(entries=listing(), next_update=AT - 1)
        ),
        "leaf on a list that is stale": lambda: strict(
            leaf_list().but(entries=listing(), next_update=AT - 1)
        ),
        "leaf on a list of version 1": lambda: strict(
            leaf_list().but(entries=listing(), version=None, extensions=())
        ),
        "leaf among a thousand": lambda: strict(
            leaf_list().but(
                entries=tuple((n, SINCE, ()) for n in range(10_000, 11_000)) + listing()
            )
        ),
        "inter on the root's list": lambda: Scene(
            crls=(leaf_list(), root_list().but(entries=listing(2))), mode=STRICT
        ),
        "inter on the root's list, soft": lambda: Scene(
            crls=(leaf_list(), root_list().but(entries=listing(2))), mode=SOFT
        ),
        "inter on the root's list, and nothing about the leaf": lambda: Scene(
            crls=(root_list().but(entries=listing(2)),), mode=SOFT
        ),
        "leaf on the list though OCSP says good": lambda: strict(
            leaf_list().but(entries=listing()), answers=(leaf_answer(),)
        ),
        "leaf on a delta list": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(5),)),
            leaf_list().but(extensions=(forge.crl_number(6), forge.delta_of(5)), entries=listing()),
        ),
        "leaf on the list for users": lambda: strict(
            leaf_list().but(entries=listing(), extensions=(forge.scope(users=True),))
        ),
        "leaf on the second of two lists by reasons": lambda: strict(
            leaf_list().but(extensions=(forge.scope(reasons=(1, 2)),)),
            leaf_list().but(
                extensions=(forge.scope(reasons=(3, 4, 5, 6, 7, 8)),), entries=listing()
            ),
        ),
        "leaf on the list of its distribution point": lambda: strict(
            leaf_list().but(extensions=(forge.scope([POINT]),), entries=listing()),
            leaf=leaf().having(points=forge.points(forge.point([POINT]))),
        ),
        "leaf on an indirect list": lambda: strict(
            indirect((0x1234, SINCE, (forge.entry_issuer(INTER),))), **indirectly()
        ),
        "leaf on an indirect list after others of its issuer": lambda: strict(
            indirect(
                (1, SINCE, ()),
                (0x9999, SINCE, (forge.entry_issuer(INTER),)),
                (0x1234, SINCE, ()),
            ),
            **indirectly(),
        ),
        "inter on an indirect list that names its own issuer": lambda: Scene(
            crls=(
                leaf_list(),
                root_list().but(
                    entries=((2, SINCE, (forge.entry_issuer(ROOT),)),),
                    extensions=(forge.scope(indirect=True),),
                ),
            ),
            mode=STRICT,
        ),
        "leaf on a list by a certified signer": lambda: strict(
            leaf_list().but(signer=forge.key("P256", "lists"), entries=listing()),
            extra=(list_signer(),),
        ),
    }
    for why in REASONS:
        cases[f"leaf on the list for reason {why}"] = lambda why=why: strict(
            leaf_list().but(entries=listing(0x1234, forge.reason(why)))
        )
    return cases


def list_signer(**fields: object) -> Spec:
    """A certificate for signing lists in the intermediate authority's name (RFC 5280 §4.2.1.3)."""
    key, signer = forge.key("P256", "lists"), forge.key(*INTER_KEY)
    spec = authority(INTER, INTER, key, signer).but(serial=900)
    return spec.having(basic=None, usage=forge.usage(6)).but(**fields)


def indirect(*entries: tuple[int, int, tuple[forge.Extension, ...]]) -> ListSpec:
    """A list of the root's for certificates of others."""
    return root_list().but(
        entries=entries, extensions=(forge.scope([POINT], indirect=True), forge.crl_number(9))
    )


def indirectly(*issuers: bytes) -> dict[str, object]:
    """A leaf that says that the root's list speaks of it."""
    where = forge.point([POINT], issuers=[forge.directory(ROOT)])
    return {"leaf": leaf().having(points=forge.points(where))}


def issuer_alone() -> dict[str, object]:
    """A leaf whose distribution point has no name but the list's issuer."""
    where = forge.point(issuers=[forge.directory(ROOT)])
    return {"leaf": leaf().having(points=forge.points(where))}


def indirect_by_name(name: bytes) -> ListSpec:
    """An indirect list of the root's that goes by a directory name."""
    return root_list().but(extensions=(forge.scope([forge.directory(name)], indirect=True),))


def _unknown() -> dict[str, Maker]:
    pointed = leaf().having(points=forge.points(forge.point([POINT])))
    return {
        "no list at all": lambda: Scene(mode=STRICT),
        "no list about the leaf": lambda: Scene(crls=(root_list(),), mode=STRICT),
        "no list about inter": lambda: Scene(crls=(leaf_list(),), mode=STRICT),
        "a list of a stranger": lambda: strict(
            ListSpec(dn("CN=Stranger"), forge.key("P256", "stranger"))
        ),
        "a list for authorities alone": lambda: strict(
            leaf_list().but(extensions=(forge.scope(authorities=True),))
        ),
        "a list for attribute certificates alone": lambda: strict(
            leaf_list().but(extensions=(forge.scope(attributes=True),))
        ),
        "a list for users about inter": lambda: Scene(
            crls=(leaf_list(), root_list().but(extensions=(forge.scope(users=True),))),
            mode=STRICT,
        ),
        "a list of another distribution point": lambda: strict(
            leaf_list().but(extensions=(forge.scope([OTHER_POINT]),)), leaf=pointed
        ),
        "a list of a distribution point that the leaf does not name": lambda: strict(
            leaf_list().but(extensions=(forge.scope([POINT]),))
        ),
        "a list for some reasons": lambda: strict(
            leaf_list().but(extensions=(forge.scope(reasons=(1, 2)),))
        ),
        "a point for some reasons, and its list alone": lambda: strict(
            leaf_list().but(extensions=(forge.scope([POINT]),)),
            leaf=leaf().having(points=forge.points(forge.point([POINT], reasons=(1, 2)))),
        ),
        "a list by another issuer that names its point and is not indirect": lambda: strict(
            leaf_list(), **indirectly()
        ).but(crls=(root_list().but(extensions=(forge.scope([POINT]),)), root_list())),
        "an indirect list of another name than the point's issuer": lambda: strict(
            indirect_by_name(forge.dn("CN=other")), **issuer_alone()
        ),
        "a delta list alone": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(6), forge.delta_of(5)))
        ),
        "a list of another issuer that is not indirect": lambda: strict(
            leaf_list(), **indirectly()
        ).but(crls=(root_list(),)),
        "a relative point of another name": lambda: strict(
            leaf_list().but(
                extensions=(forge.scope(relative=forge.attribute("CN", "a")),),
            ),
            leaf=leaf().having(
                points=forge.points(forge.point(relative=forge.attribute("CN", "b")))
            ),
        ),
        "an answer about another serial number": lambda: asked(
            leaf_answer().but(about=forge.cert_id(INTER, forge.key(*INTER_KEY), 0x1235))
        ),
        "an answer about another issuer's name": lambda: asked(
            leaf_answer().but(about=forge.cert_id(ROOT, forge.key(*INTER_KEY), 0x1234))
        ),
        "an answer about another issuer's key": lambda: asked(
            leaf_answer().but(about=forge.cert_id(INTER, forge.key("P256", "root"), 0x1234))
        ),
        "an answer about another key by SHA-256": lambda: asked(
            leaf_answer().but(
                about=forge.cert_id(INTER, forge.key("P256", "root"), 0x1234, "sha256")
            )
        ),
        "no answer about inter": lambda: Scene(answers=(leaf_answer(),), mode=STRICT),
    }


def _stale() -> dict[str, Maker]:
    return {
        "a list that passed its date": lambda: strict(leaf_list().but(next_update=AT - 1)),
        "a list about inter that passed its date": lambda: Scene(
            crls=(leaf_list(), root_list().but(next_update=AT - 1)), mode=STRICT
        ),
        "a list of the future": lambda: strict(leaf_list().but(this_update=AT + 301)),
        "a list without a date, two days old": lambda: strict(
            leaf_list().but(this_update=AT - 2 * DAY, next_update=None)
        ),
        "an answer that passed its date": lambda: asked(leaf_answer().but(next_update=AT - 1)),
        "an answer of the future": lambda: asked(leaf_answer().but(this_update=AT + 301)),
        "an answer without a date, two days old": lambda: asked(
            leaf_answer().but(this_update=AT - 2 * DAY, next_update=None)
        ),
        "a delta list that passed its date on a list that did": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(5),), next_update=AT - 1),
            leaf_list().but(
                extensions=(forge.crl_number(6), forge.delta_of(5)), next_update=AT - 1
            ),
        ),
        "a current delta list that does not fit": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(5),), next_update=AT - 1),
            leaf_list().but(extensions=(forge.crl_number(8), forge.delta_of(6))),
        ),
        "a current delta list by a stranger": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(5),), next_update=AT - 1),
            leaf_list().but(
                extensions=(forge.crl_number(6), forge.delta_of(5)),
                signer=forge.key("P256", "stranger"),
            ),
        ),
    }


def _bad_lists() -> dict[str, Maker]:
    lists = forge.key("P256", "lists")
    no_crl_sign = inter().having(usage=forge.usage(5))
    return {
        "a list with a broken signature": lambda: strict(
            leaf_list().but(mangle=lambda signature: signature[:-1] + b"\x00")
        ),
        "a list signed by a stranger": lambda: strict(
            leaf_list().but(signer=forge.key("P256", "stranger"))
        ),
        "a list changed after it was signed": lambda: strict(
            leaf_list().but(
                entries=listing(0x4321), late=lambda tbs: tbs.replace(b"\x43\x21", b"\x43\x22")
            )
        ),
        "a list of an authority without cRLSign": lambda: strict(leaf_list(), inter=no_crl_sign),
        "a list with SHA-1": lambda: strict(leaf_list().but(size=1)),
        "a list by an uncertified signer": lambda: strict(leaf_list().but(signer=lists)),
        "a list by a signer without cRLSign": lambda: strict(
            leaf_list().but(signer=lists), extra=(list_signer().having(usage=forge.usage(0)),)
        ),
        "a list by a signer that expired": lambda: strict(
            leaf_list().but(signer=lists), extra=(list_signer(not_after=AT - 1),)
        ),
        "a list by a signer whom a stranger certified": lambda: strict(
            leaf_list().but(signer=lists),
            extra=(list_signer(signer=forge.key("P256", "stranger")),),
        ),
        "a list by a signer that was revoked": lambda: strict(
            leaf_list().but(signer=lists, extensions=(forge.crl_number(1), _aki(lists))),
            leaf_list().but(
                entries=listing(900), extensions=(forge.scope(reasons=(1,)), forge.crl_number(1))
            ),
            extra=(list_signer(),),
        ),
        "an unreadable list": lambda: strict(leaf_list().but(issuer=dn(""))),
        "a list with an unknown critical extension": lambda: strict(
            leaf_list().but(extensions=(forge.unknown(),))
        ),
        "a list with an unknown critical extension of an entry": lambda: strict(
            leaf_list().but(entries=listing(7, forge.unknown()))
        ),
        "a list that names two algorithms": lambda: strict(
            leaf_list().but(inside=seq(forge.oid("1.2.840.10045.4.3.3")))
        ),
        "a list of version 1 with extensions": lambda: strict(leaf_list().but(version=None)),
        "a list of version 3": lambda: strict(leaf_list().but(version=2)),
        "a list with another issuer in an entry, not indirect": lambda: strict(
            leaf_list().but(entries=listing(7, forge.entry_issuer(ROOT)))
        ),
        "an indirect list with an entry of two issuers": lambda: strict(
            indirect(
                (
                    7,
                    SINCE,
                    (("2.5.29.29", True, seq(forge.directory(INTER), forge.directory(LEAF))),),
                )
            ),
            **indirectly(),
        ),
        "a list of more than 10 MiB": lambda: strict(
            leaf_list().but(extensions=(("1.3.6.1.4.1.55555.31", False, bytes(10 * 1024 * 1024)),))
        ),
        "a list whose signature has unused bits": lambda: strict(
            even_list().but(raw=unused_bits), leaf=leaf("P256", "RSA"), inter=inter("RSA")
        ),
        "a list signed with MD5": lambda: strict(leaf_list().but(inside=MD5, outside=MD5)),
        "lists whose signers are on lists, five deep": lambda: deep(5),
        "a list of nobody in the path, admitted": lambda: strict(
            ListSpec(dn("CN=Stranger"), forge.key("P256", "stranger")), admitted=True
        ),
        "a forged list, admitted": lambda: soft(
            leaf_list().but(signer=forge.key("P256", "stranger")), admitted=True
        ),
        "a list with a reason that does not exist": lambda: strict(
            leaf_list().but(entries=listing(7, forge.reason(7)))
        ),
        "a list with a negative number": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(-1),))
        ),
        "a list with a number of 30 octets": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(1 << 239),))
        ),
        "a list both for users and authorities": lambda: strict(
            leaf_list().but(extensions=(forge.scope(users=True, authorities=True),))
        ),
        "a list with an extension twice": lambda: strict(
            leaf_list().but(extensions=(forge.crl_number(1), forge.crl_number(1)))
        ),
    }


TWO_ISSUERS = ("2.5.29.29", True, seq(forge.directory(INTER), forge.directory(LEAF)))
MD5 = seq(forge.oid("1.2.840.113549.1.1.4"), forge.NULL)


def even_list() -> ListSpec:
    """A list whose signature ends in a zero bit, signed with RSA: always the same octets."""
    spec = leaf_list().but(signer=forge.key("RSA", "inter"))
    each = (spec.but(extensions=(forge.crl_number(n),)) for n in range(1000))
    return next(one for one in each if not one.der()[-1] & 1)


def deep(count: int) -> Scene:
    """The leaf's list is indirect, as is its signer's, and so on."""
    signers: list[Spec] = []
    lists: list[ListSpec] = []
    for depth in range(count):
        name, key = dn(f"C=CH, O=Example, CN=Lists {depth}"), forge.key("P256", f"lists-{depth}")
        spec = authority(name, ROOT, key, forge.key("P256", "root")).but(serial=950 + depth)
        above = dn(f"C=CH, O=Example, CN=Lists {depth + 1}")
        signers.append(
            spec.having(
                basic=None,
                usage=forge.usage(6),
                points=forge.points(forge.point([POINT], issuers=[forge.directory(above)])),
            )
        )
        lists.append(ListSpec(name, key).but(extensions=(forge.scope([POINT], indirect=True),)))
    # The root's list is about authorities alone: it speaks of the last signer, who is marked so.
    signers[-1] = signers[-1].having(points=None, basic=forge.basic())
    first = forge.point([POINT], issuers=[forge.directory(signers[0].subject)])
    return Scene(
        leaf().having(points=forge.points(first)),
        crls=(*lists, root_list().but(extensions=(forge.scope(authorities=True),))),
        extra=tuple(signers),
        mode=STRICT,
    )


def _aki(key: forge.Key) -> forge.Extension:
    return forge.authority_key(forge.key_identifier(key))


# OCSP


def responder(**fields: object) -> Spec:
    """A responder that the intermediate authority certified (RFC 6960 §4.2.2.2)."""
    key, signer = forge.key("P256", "responder"), forge.key(*INTER_KEY)
    spec = Spec(
        HELPER,
        INTER,
        key,
        signer,
        serial=901,
        extensions={
            "usage": forge.usage(0),
            "purposes": forge.purposes("1.3.6.1.5.5.7.3.9"),
            "no_check": forge.no_check(),
        },
    )
    return spec.but(**fields)


def delegated(spec: Spec | None = None, **fields: object) -> AnswerSpec:
    """An answer about the leaf by such a responder."""
    return (
        leaf_answer()
        .but(
            signer=forge.key("P256", "responder"),
            responder=tagged(1, HELPER),
            certificates=((spec or responder()).der(),),
        )
        .but(**fields)
    )


def _revoked_by_answer() -> dict[str, Maker]:
    cases: dict[str, Maker] = {
        "leaf revoked by an answer": lambda: asked(leaf_answer().but(status=forge.revoked(SINCE))),
        "leaf revoked by an answer, soft": lambda: asked(
            leaf_answer().but(status=forge.revoked(SINCE)), mode=SOFT
        ),
        "leaf revoked by a stale answer, soft": lambda: asked(
            leaf_answer().but(status=forge.revoked(SINCE), next_update=AT - 1), mode=SOFT
        ),
        "leaf revoked by a delegated responder": lambda: asked(
            delegated(status=forge.revoked(SINCE))
        ),
        "leaf revoked by an answer by key hash": lambda: asked(
            leaf_answer().but(
                status=forge.revoked(SINCE),
                responder=tagged(2, octets(forge.key_identifier(forge.key(*INTER_KEY)))),
            )
        ),
        "leaf revoked by an answer with SHA-256 names": lambda: asked(
            leaf_answer().but(
                status=forge.revoked(SINCE),
                about=forge.cert_id(INTER, forge.key(*INTER_KEY), 0x1234, "sha256"),
            )
        ),
        "leaf revoked by an answer though the list says good": lambda: asked(
            leaf_answer().but(status=forge.revoked(SINCE)), crls=(leaf_list(),)
        ),
        "inter revoked by an answer": lambda: Scene(
            answers=(leaf_answer(), inter_answer().but(status=forge.revoked(SINCE))), mode=STRICT
        ),
        "inter revoked by an answer, soft": lambda: Scene(
            answers=(inter_answer().but(status=forge.revoked(SINCE)),), mode=SOFT
        ),
    }
    for why in REASONS:
        cases[f"leaf revoked by an answer for reason {why}"] = lambda why=why: asked(
            leaf_answer().but(status=forge.revoked(SINCE, why))
        )
    return cases


BAD_ANSWERS: dict[str, Callable[[bytes], bytes]] = {
    "that is empty": lambda der: b"",
    "of one octet": lambda der: der[:1],
    "cut short": lambda der: der[:-1],
    "with an octet more": lambda der: der + b"\x00",
    "of indefinite length": indefinite,
    "of a length too long": long_form,
    "with a tag of several octets": lambda der: seq(b"\x1f\x81\x01\x00"),
    "with a status of two octets": lambda der: seq(
        encode(0x0A, b"\x00\x00"), der[der.index(b"\xa0") :]
    ),
    "that is text": lambda der: b"HTTP/1.1 500 Internal Server Error",
}


def _with_parameters(about: bytes) -> bytes:
    """A CertID whose hash has a NULL with content."""
    reader = Reader(about).inner()
    digest = reader.inner().any().whole
    rest = b"".join(reader.any().whole for _ in range(3))
    return seq(seq(digest, b"\x05\x01\x00"), rest)


def _bad_answers() -> dict[str, Maker]:
    stranger = forge.key("P256", "stranger")
    cases: dict[str, Maker] = {
        "an answer that does not know": lambda: asked(leaf_answer().but(status=forge.UNKNOWN)),
        "an answer with a broken signature": lambda: asked(
            leaf_answer().but(mangle=lambda signature: signature[:-1] + b"\x00")
        ),
        "an answer with an empty signature": lambda: asked(
            leaf_answer().but(mangle=lambda signature: b"")
        ),
        "an answer signed by a stranger": lambda: asked(leaf_answer().but(signer=stranger)),
        "an answer changed after it was signed": lambda: asked(
            leaf_answer().but(
                status=forge.revoked(SINCE),
                late=lambda data: data.replace(forge.revoked(SINCE), forge.GOOD).replace(
                    data[:2], data[:1] + bytes((data[1] - 17,)), 1
                ),
            )
        ),
        "an answer with SHA-1": lambda: asked(leaf_answer().but(size=1)),
        "an answer by the leaf itself": lambda: asked(
            leaf_answer().but(
                signer=forge.key("P256", "leaf"),
                responder=tagged(1, LEAF),
                certificates=(default_leaf().der(),),
            )
        ),
        "an answer by the root about the leaf": lambda: asked(
            leaf_answer().but(signer=forge.key("P256", "root"), responder=tagged(1, ROOT))
        ),
        "an answer by a name that nobody has": lambda: asked(
            leaf_answer().but(responder=tagged(1, dn("CN=Nobody")))
        ),
        "a responder without its purpose": lambda: asked(
            delegated(responder().having(purposes=None))
        ),
        "a responder for servers": lambda: asked(
            delegated(responder().having(purposes=forge.purposes("1.3.6.1.5.5.7.3.1")))
        ),
        "a responder for any purpose": lambda: asked(
            delegated(responder().having(purposes=forge.purposes("2.5.29.37.0")))
        ),
        "a responder that may not sign": lambda: asked(
            delegated(responder().having(usage=forge.usage(5)))
        ),
        "a responder that expired": lambda: asked(delegated(responder(not_after=AT - 1))),
        "a responder not yet valid": lambda: asked(
            delegated(responder(not_before=AT + 1, not_after=AT + YEAR))
        ),
        "a responder that a stranger certified": lambda: asked(
            delegated(responder(signer=stranger))
        ),
        "a responder that the root certified": lambda: asked(
            delegated(responder(issuer=ROOT, signer=forge.key("P256", "root")))
        ),
        "a responder with an unknown critical extension": lambda: asked(
            delegated(responder().having(strange=forge.unknown()))
        ),
        "a responder with SHA-1": lambda: asked(delegated(responder(size=1))),
        "a responder with a short key": lambda: asked(
            delegated(
                responder(key=forge.key("RSA1024", "responder")),
                signer=forge.key("RSA1024", "responder"),
            )
        ),
        "a responder on its authority's list": lambda: asked(
            delegated(responder().having(no_check=None)),
            crls=(leaf_list().but(entries=listing(901), next_update=AT - 1),),
        ),
        "a responder whose certificate was not sent": lambda: asked(delegated(certificates=())),
        "an answer with an unknown critical extension": lambda: asked(
            leaf_answer().but(extensions=(forge.unknown(),))
        ),
        "an answer with an unknown critical extension inside": lambda: asked(
            leaf_answer().but(single_extensions=(forge.unknown(),))
        ),
        "nine certificates": lambda: asked(delegated(certificates=(responder().der(),) * 9)),
        "a responder by a hash of 10 octets": lambda: asked(
            leaf_answer().but(responder=tagged(2, octets(b"\x01" * 10)))
        ),
        "a status of no kind": lambda: asked(
            leaf_answer().but(status=tagged(3, b"", constructed=False))
        ),
        "a responder whose issuer has another name": lambda: asked(
            delegated(responder(issuer=dn("CN=Other")))
        ),
        "an answer of more than 128 KiB": lambda: asked(
            leaf_answer().but(extensions=(("1.3.6.1.4.1.55555.31", False, bytes(131_072)),))
        ),
        "a failure with a good answer inside": lambda: asked(
            leaf_answer().but(outcome=1, bare=False)
        ),
        "an answer of another kind": lambda: asked(leaf_answer().but(kind="1.2.3")),
        "an answer of version 2": lambda: asked(
            leaf_answer().but(version=tagged(0, forge.number(1)))
        ),
        "an answer signed with MD5": lambda: asked(leaf_answer().but(outside=MD5)),
        "an answer whose signature has unused bits": lambda: asked(leaf_answer().but(unused=1)),
        "an answer about 65 certificates": lambda: asked(leaf_answer().but(times=65)),
        "an answer with another nonce": lambda: asked(
            leaf_answer().but(nonce=b"n" * 32), nonce=b"m" * 32
        ),
        "an answer about no certificate of the path, admitted": lambda: asked(
            leaf_answer().but(about=forge.cert_id(INTER, forge.key(*INTER_KEY), 0x1235)),
            admitted=True,
        ),
        "a forged answer, admitted": lambda: asked(
            leaf_answer().but(signer=stranger), admitted=True, mode=SOFT
        ),
        "a time that is short": lambda: asked(leaf_answer().but(moment=b"2027011570000Z")),
        "a time that does not exist": lambda: asked(leaf_answer().but(moment=b"20261131070000Z")),
        "a hash with parameters": lambda: asked(
            leaf_answer().but(about=_with_parameters(leaf_answer().about))
        ),
        "a serial number of 30 octets in an answer": lambda: asked(
            leaf_answer().but(about=forge.cert_id(INTER, forge.key(*INTER_KEY), 1 << 239))
        ),
        "a status good with content": lambda: asked(
            leaf_answer().but(status=tagged(0, b"\x00", constructed=False))
        ),
        "a certificate named by MD5": lambda: asked(
            leaf_answer().but(
                about=seq(
                    seq(forge.oid("1.2.840.113549.2.5"), forge.NULL),
                    octets(b"\x01" * 16),
                    octets(b"\x01" * 16),
                    forge.number(1),
                )
            )
        ),
    }
    for what, raw in BAD_ANSWERS.items():
        cases[f"an answer {what}"] = lambda raw=raw: asked(leaf_answer().but(raw=raw))
    for outcome in (1, 2, 3, 5, 6, 9):
        cases[f"a responder that answers {outcome}"] = lambda outcome=outcome: asked(
            leaf_answer().but(outcome=outcome)
        )
    return cases


def cases() -> list[Case]:
    """All of them."""
    return [
        *refused("E149", _revoked_by_list()),
        *refused("E151", _revoked_by_answer()),
        *refused("E160", _unknown()),
        *refused("E161", _stale()),
        *refused("E162", _bad_lists()),
        *refused("E163", _bad_answers()),
    ]
