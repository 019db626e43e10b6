"""Scenes at the very edge of a bound or a rule, on both sides of it where there are two.

Each was asked for by a small error that nothing else noticed (`make mutants-x509`).
"""

from . import forge
from .cases import Case, Maker, accepted, refused
from .forge import AT, YEAR, ListSpec, dns, number, tagged
from .refused_status import (
    HELPER,
    POINT,
    SINCE,
    asked,
    deep,
    delegated,
    list_signer,
    listing,
    responder,
    strict,
)
from .scenes import (
    INTER,
    LEAF,
    OTHER,
    ROOT,
    STRICT,
    Scene,
    authority,
    inter,
    leaf,
    leaf_list,
    root,
    root_list,
)

NESTING_MAX = 3
"""How deep lists of those who sign lists are followed."""


def _below_the_root() -> forge.Spec:
    return leaf(issuer=ROOT, signer=forge.key("P256", "root")).having(authority_key=None)


def compared(at_root: int, at_inter: int) -> Scene:
    """A leaf of 128 names under so many name constraints; one name of inter under the root's."""
    names = forge.names(*(dns(f"h{n}.example.net") for n in range(127)))

    def excluded(count: int) -> forge.Extension | None:
        bases = [dns(f"x{n}.example.org") for n in range(count)]
        return forge.subtrees(excluded=bases) if count else None

    return Scene(
        leaf().having(names=names),
        inter().having(c=excluded(at_inter)),
        root().having(c=excluded(at_root)),
    )


def explicit_after(count: int) -> Scene:
    """No policies, and an explicit one is asked for so many certificates below inter."""
    return Scene(inter=inter().having(c=forge.policy_constraints(explicit=count)))


def _delta(crl_number: int, base: int, mark: bytes, why: int) -> ListSpec:
    """A delta list with one entry about the leaf; `mark` lets several stand beside each other."""
    return leaf_list().but(
        extensions=(
            forge.crl_number(crl_number),
            forge.delta_of(base),
            forge.authority_key(mark),
        ),
        entries=listing(0x1234, forge.reason(why)),
    )


def _base(crl_number: int, *entries: tuple[int, int, tuple[forge.Extension, ...]]) -> ListSpec:
    return leaf_list().but(extensions=(forge.crl_number(crl_number),), entries=entries)


def own_list() -> Scene:
    """The leaf signs its own list; nothing is known of its issuer."""
    where = forge.point([POINT], issuers=[forge.directory(LEAF)])
    return Scene(
        leaf().having(usage=forge.usage(0, 6), points=forge.points(where)),
        crls=(
            ListSpec(LEAF, forge.key("P256", "leaf")).but(
                entries=((7, SINCE, (forge.entry_issuer(INTER),)),),
                extensions=(forge.scope([POINT], indirect=True), forge.crl_number(1)),
            ),
        ),
        mode=STRICT,
    )


def helper_list() -> Scene:
    """From the network: the leaf's list is signed by somebody who issued nothing in the path."""
    key = forge.key("P256", "helper")
    signer = authority(HELPER, ROOT, key, forge.key("P256", "root")).but(serial=960)
    where = forge.point([POINT], issuers=[forge.directory(HELPER)])
    crl = ListSpec(HELPER, key).but(
        extensions=(forge.scope([POINT], indirect=True), forge.crl_number(1))
    )
    return Scene(
        leaf().having(points=forge.points(where)),
        crls=(root_list(), crl),
        extra=(signer.having(basic=None, usage=forge.usage(6)),),
        mode=STRICT,
        admitted=True,
    )


def _refused() -> list[Case]:
    lists = forge.key("P256", "lists")
    early = inter(serial=9, not_before=AT + 1, not_after=AT + YEAR)
    late = inter(serial=8, not_after=AT - 1)
    cases: dict[str, dict[str, Maker]] = {
        "E141": {
            "inter expired, before one that is not yet valid": lambda: Scene(pool=(late, early))
        },
        "E144": {"inter not yet valid, before one that expired": lambda: Scene(pool=(early, late))},
        "E149": {
            "leaf on a delta list with the number of its base": lambda: strict(
                _base(5), _delta(5, 5, b"a", 1)
            ),
            "leaf on the second of two delta lists that come in disorder": lambda: strict(
                _base(5), _delta(7, 5, b"b", 6), _delta(6, 5, b"a", 8)
            ),
        },
        "E153": {
            "leaf below the root, outside of its constraint": lambda: Scene(
                _below_the_root(),
                pool=(),
                root=root().having(c=forge.subtrees(excluded=[dns("gw.example.net")])),
            ),
        },
        "E157": {
            "name constraints of a mask with a hole at its head": lambda: Scene(
                inter=inter().having(
                    c=forge.subtrees(
                        [tagged(7, bytes((0, 0, 0, 0, 15, 255, 255, 255)), constructed=False)]
                    )
                )
            ),
        },
        "E158": {"explicit policy asked from the leaf on": lambda: explicit_after(1)},
        "E159": {"a comparison more than there may be": lambda: compared(1, 63)},
        "E162": {
            "a list by the leaf itself, whose issuer nobody knows about": own_list,
            "lists whose signers are on lists, one deeper than is followed": lambda: deep(
                NESTING_MAX + 1
            ),
            "a list both for users and for attribute certificates": lambda: strict(
                leaf_list().but(extensions=(forge.scope(users=True, attributes=True),))
            ),
            "a list with a number of 22 octets": lambda: strict(
                leaf_list().but(extensions=(forge.crl_number(1 << 168),))
            ),
            "an indirect list with an entry whose issuer is a domain name": lambda: strict(
                leaf_list(),
                root_list().but(
                    entries=((7, SINCE, (("2.5.29.29", True, forge.seq(dns("a"))),)),),
                    extensions=(forge.scope([POINT], indirect=True),),
                ),
            ),
        },
        "E163": {
            "a responder on a list by a certified signer": lambda: asked(
                delegated(responder().having(no_check=None)),
                crls=(leaf_list().but(signer=lists, entries=listing(901), next_update=AT - 1),),
                extra=(list_signer(),),
            ),
        },
    }
    return [case for code, each in cases.items() for case in refused(code, each)]


def _accepted() -> list[Case]:
    relative = forge.attribute("CN", "a")
    return accepted(
        {
            "as many comparisons as there may be": lambda: compared(0, 64),
            "explicit policy asked from below the leaf on": lambda: explicit_after(2),
            "an indirect list by a relative name, the first of two issuers": lambda: strict(
                root_list().but(extensions=(forge.scope(relative=relative, indirect=True),)),
                leaf=leaf().having(
                    points=forge.points(
                        forge.point(
                            relative=relative,
                            issuers=[forge.directory(ROOT), forge.directory(OTHER)],
                        )
                    )
                ),
            ),
            "taken off hold by the second of two delta lists in disorder": lambda: strict(
                _base(5, *listing(0x1234, forge.reason(6))),
                _delta(7, 5, b"b", 8),
                _delta(6, 5, b"a", 6),
            ),
            "a list until after 2050": lambda: strict(leaf_list().but(next_update=AT + 30 * YEAR)),
            "lists whose signers are on lists, as deep as is followed": lambda: deep(NESTING_MAX),
            "a list of somebody who issued nothing in the path, admitted": helper_list,
            "a list with the number 0": lambda: strict(
                leaf_list().but(extensions=(forge.crl_number(0),))
            ),
            "a list with a number of 21 octets": lambda: strict(
                leaf_list().but(extensions=(forge.crl_number(1 << 160),))
            ),
            "an indirect list for users": lambda: strict(
                leaf_list().but(extensions=(forge.scope(users=True, indirect=True),))
            ),
            "name constraints with a minimum of 0": lambda: Scene(
                inter=inter().having(
                    c=forge.subtrees(
                        [dns("example.net")], extra=tagged(0, b"\x00", constructed=False)
                    )
                )
            ),
            "a leaf with both unique identifiers": lambda: Scene(
                leaf(unique=b"".join(tagged(n, b"\x00\x01", constructed=False) for n in (1, 2)))
            ),
            "a responder with no-check, though it is on a list": lambda: asked(
                delegated(), crls=(leaf_list().but(entries=listing(901), next_update=AT - 1),)
            ),
            "an answer that names its version": lambda: asked(
                delegated(version=tagged(0, number(0)))
            ),
        }
    )


def cases() -> tuple[list[Case], list[Case]]:
    """What is refused, what is accepted."""
    return _refused(), _accepted()
