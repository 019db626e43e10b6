"""Paths with exactly one defect (S-14, S-15, S-16): what RFC 5280 §6.1 refuses."""

from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from isthmus.x509 import extensions as ext
from isthmus.x509.usage import CLIENT_AUTH, OCSP_SIGNING, SERVER_AUTH

from . import forge
from .cases import Case, Maker, refused
from .forge import AT, YEAR, Spec, dn, oid, seq
from .scenes import (
    CLIENT,
    INTER,
    LEAF,
    OTHER,
    ROOT,
    SERVER,
    Scene,
    authority,
    inter,
    leaf,
    root,
)

CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
EMAIL_PROTECTION = "1.3.6.1.5.5.7.3.4"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"


def with_leaf(spec: Spec) -> Scene:
    return Scene(leaf=spec)


def with_inter(spec: Spec) -> Scene:
    return Scene(inter=spec)


def with_root(spec: Spec) -> Scene:
    return Scene(root=spec)


def _times() -> list[Case]:
    late: dict[str, Maker] = {
        f"inter expired, {order} one that a stranger signed": lambda turn=turn: Scene(
            pool=(
                inter(not_after=AT - 1),
                inter(signer=forge.key("P256", "stranger")),
            )[::turn]
        )
        for order, turn in (("before", 1), ("after", -1))
    }
    early: dict[str, Maker] = {}
    for name, place, spec in (
        ("leaf", with_leaf, leaf),
        ("inter", with_inter, inter),
        ("root", with_root, root),
    ):
        for by, seconds in (("a second", 1), ("years", 9 * YEAR)):
            late[f"{name} expired by {by}"] = lambda place=place, spec=spec, seconds=seconds: place(
                spec(not_before=AT - 20 * YEAR, not_after=AT - seconds)
            )
            early[f"{name} not valid for {by}"] = lambda place=place, spec=spec, seconds=seconds: (
                place(spec(not_before=AT + seconds, not_after=AT + 30 * YEAR))
            )
    return refused("E141", late) + refused("E144", early)


# Signatures


def flipped(signature: bytes, tbs: bytes) -> bytes:
    return signature[:-1] + bytes((signature[-1] ^ 1,))


def first_flipped(signature: bytes, tbs: bytes) -> bytes:
    return signature[:8] + bytes((signature[8] ^ 1,)) + signature[9:]


def emptied(signature: bytes, tbs: bytes) -> bytes:
    return b""


def zeros(signature: bytes, tbs: bytes) -> bytes:
    return bytes(len(signature))


def shortened(signature: bytes, tbs: bytes) -> bytes:
    return signature[:-1]


def lengthened(signature: bytes, tbs: bytes) -> bytes:
    return signature + b"\x00"


MANGLES = {
    "flipped in its last bit": flipped,
    "flipped inside": first_flipped,
    "empty": emptied,
    "of zeros": zeros,
    "cut short": shortened,
    "with an octet more": lengthened,
}
ORDERS = {
    "P256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "P384": 2**384 - 0x389CB27E0BC8D220A7E5F24DB74F58851313E695333AD68D,
    "P521": (2**265 - 6) << 256
    | 0x51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
}


def renamed(tbs: bytes) -> bytes:
    """The signed part with another host name of the same length."""
    assert b"gw.example.net" in tbs
    return tbs.replace(b"gw.example.net", b"ga.example.net")


def _signatures() -> list[Case]:
    cases: dict[str, Maker] = {}
    for kind in forge.KINDS:

        def scene(kind: str = kind, **fields: object) -> Scene:
            return Scene(leaf("P256", kind, **fields), inter(kind))

        for what, mangle in MANGLES.items():
            cases[f"{kind} signature {what}"] = lambda scene=scene, mangle=mangle: scene(
                mangle=mangle
            )
        cases[f"{kind} signature over other octets"] = lambda scene=scene: scene(late=renamed)
        cases[f"{kind} signature by another key"] = lambda scene=scene, kind=kind: scene(
            signer=forge.key(kind, "stranger")
        )
    for kind, order in ORDERS.items():
        for what, change in (
            ("r = 0", lambda r, s, n: (0, s)),
            ("s = 0", lambda r, s, n: (r, 0)),
            ("r = s = 0", lambda r, s, n: (0, 0)),
            ("r = n", lambda r, s, n: (n, s)),
            ("s = n", lambda r, s, n: (r, n)),
            ("r + n", lambda r, s, n: (r + n, s)),
            ("s + n", lambda r, s, n: (r, s + n)),
        ):

            def mangle(
                signature: bytes, tbs: bytes, change: object = change, order: int = order
            ) -> bytes:
                assert callable(change)
                return encode_dss_signature(*change(*decode_dss_signature(signature), order))

            cases[f"{kind} signature with {what}"] = lambda mangle=mangle, kind=kind: Scene(
                leaf("P256", kind, mangle=mangle), inter(kind)
            )
    for what, padded in PADDINGS.items():
        cases[f"RSA signature with {what}"] = lambda padded=padded: Scene(
            leaf("P256", "RSA", mangle=lambda signature, tbs: raw_rsa(padded(tbs))), inter("RSA")
        )
    cases["inter signed by another key than the root's"] = lambda: with_inter(
        inter(signer=forge.key("P256", "stranger"))
    )
    return refused("E154", cases)


def raw_rsa(block: bytes) -> bytes:
    """The bare RSA private operation of the intermediate authority."""
    private = forge.key("RSA", "inter")
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    modulus = numbers.public_numbers.n
    return pow(int.from_bytes(block), numbers.d, modulus).to_bytes(256)


def digest_info(tbs: bytes, arc: str = "2.16.840.1.101.3.4.2.1", null: bytes = forge.NULL) -> bytes:
    import hashlib

    return seq(seq(oid(arc), null), forge.octets(hashlib.sha256(tbs).digest()))


def block(info: bytes, *, kind: int = 1, first: int = 0, fill: int = 0xFF) -> bytes:
    return bytes((first, kind)) + bytes((fill,)) * (253 - len(info)) + b"\x00" + info


def short_padding(tbs: bytes) -> bytes:
    """Eight octets of padding, then garbage after the digest (Bleichenbacher 2006)."""
    info = digest_info(tbs)
    return (b"\x00\x01" + b"\xff" * 8 + b"\x00" + info).ljust(256, b"\x5a")


PADDINGS = {
    "short padding and garbage": short_padding,
    "garbage inside its padding": lambda tbs: block(digest_info(tbs)).replace(
        b"\xff" * 12, b"\xff" * 11 + b"\x5a", 1
    ),
    "block type 2": lambda tbs: block(digest_info(tbs), kind=2),
    "block type 0": lambda tbs: block(digest_info(tbs), kind=0),
    "padding of zeros": lambda tbs: block(digest_info(tbs), fill=0),
    "another hash named in its digest": lambda tbs: block(digest_info(tbs, arc="1.3.14.3.2.26")),
    "garbage as parameters of its digest": lambda tbs: block(
        digest_info(tbs, null=forge.octets(b"\x5a" * 20))
    ),
    "octets after its digest": lambda tbs: block(digest_info(tbs) + b"\x5a" * 4),
    "a bare digest": lambda tbs: block(digest_info(tbs)[-32:]),
}


# Algorithms and keys


def _algorithms() -> list[Case]:
    weak: dict[str, Maker] = {
        "leaf signed with RSA and SHA-1": lambda: Scene(leaf("P256", "RSA", size=1), inter("RSA")),
        "leaf signed with ECDSA and SHA-1": lambda: with_leaf(leaf(size=1)),
        "inter signed with ECDSA and SHA-1": lambda: with_inter(inter(size=1)),
        "inter signed with RSA and SHA-1": lambda: Scene(
            leaf(), inter("P256", "RSA", size=1), root("RSA")
        ),
    }
    rsa_inter = "1.2.840.113549.1.1"
    for what, identifier in {
        "MD5": seq(oid(f"{rsa_inter}.4"), forge.NULL),
        "SHA-224": seq(oid(f"{rsa_inter}.14"), forge.NULL),
        "PSS and a salt of 64 for SHA-256": seq(
            oid(f"{rsa_inter}.10"), forge.pss_parameters(256, 64)
        ),
        "PSS without parameters": seq(oid(f"{rsa_inter}.10")),
        "PSS by default (SHA-1)": seq(oid(f"{rsa_inter}.10"), seq()),
        "an unknown algorithm": seq(oid("1.3.6.1.4.1.55555.2")),
    }.items():
        weak[f"leaf signed with {what}"] = lambda identifier=identifier: Scene(
            leaf("P256", "RSA", inside=identifier, outside=identifier), inter("RSA")
        )
    two: dict[str, Maker] = {
        "leaf with another algorithm inside": lambda: Scene(
            leaf("P256", "RSA", inside=seq(oid(f"{rsa_inter}.12"), forge.NULL)), inter("RSA")
        ),
        "inter with another algorithm inside": lambda: with_inter(
            inter(inside=seq(oid("1.2.840.10045.4.3.3")))
        ),
        "version 1 with extensions": lambda: with_leaf(leaf(version=None)),
        "version 1 with a unique identifier": lambda: with_leaf(
            leaf(
                version=None, extensions={}, unique=forge.tagged(1, b"\x00\x01", constructed=False)
            )
        ),
    }
    return refused("E155", weak) + refused("E164", two)


@cache
def _modulus(bits: int = 2048) -> int:
    public = forge.key(f"RSA{bits}").public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    return public.public_numbers().n


def _keys() -> list[Case]:
    short: dict[str, Maker] = {
        "leaf with an RSA key of 1024 bits": lambda: with_leaf(leaf("RSA1024")),
        "leaf with an RSA key of 2040 bits": lambda: with_leaf(leaf("RSA2040")),
        "inter with an RSA key of 1024 bits": lambda: Scene(
            leaf("P256", "RSA1024"), inter("RSA1024")
        ),
        "root with an RSA key of 1024 bits": lambda: Scene(
            leaf(), inter("P256", "RSA1024"), root("RSA1024")
        ),
        "leaf with 2048 bits where 3072 are asked for": lambda: with_leaf(leaf("RSA")).ruled(
            rsa_bits_min=3072
        ),
    }
    numbers: dict[str, Maker] = {}
    for exponent in (0, 1, 2, 3, 17, 65_535, 65_536, 65_538):
        numbers[f"RSA exponent {exponent}"] = lambda exponent=exponent: with_leaf(
            leaf(spki=forge.rsa_spki(_modulus(), exponent))
        )
    for what, key in {
        "RSA modulus even": lambda: forge.rsa_spki(_modulus() + 1, 65_537),
        "RSA modulus negative": lambda: forge.rsa_spki(-_modulus(), 65_537),
        "RSA modulus 0": lambda: forge.rsa_spki(0, 65_537),
        "RSA modulus 1": lambda: forge.rsa_spki(1, 65_537),
        "RSA of 512 bits": lambda: forge.rsa_spki((1 << 511) | 1, 65_537),
        "RSA of 8200 bits": lambda: forge.rsa_spki((1 << 8199) | 1, 65_537),
        "RSA of 20,000 bits": lambda: forge.rsa_spki((1 << 19_999) | 1, 65_537),
        "RSA exponent of 4096 bits": lambda: forge.rsa_spki(_modulus(), (1 << 4095) | 1),
        "RSA key bound to PSS": lambda: seq(
            seq(oid("1.2.840.113549.1.1.10")),
            forge.bit_string(seq(forge.number(_modulus()), forge.number(65_537))),
        ),
        "DSA key": lambda: forge.strange_spki("dsa"),
        "X25519 key": lambda: forge.strange_spki("x25519"),
        "curve secp256k1": lambda: forge.strange_spki("secp256k1"),
        "curve brainpoolP256r1": lambda: forge.strange_spki("brainpool"),
        "curve by explicit parameters": forge.explicit_curve_spki,
        "key of an unknown algorithm": lambda: seq(
            seq(oid("1.3.6.1.4.1.55555.3")), forge.bit_string(b"\x00" * 32)
        ),
        "EC point at infinity": lambda: seq(
            seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")), forge.bit_string(b"\x00")
        ),
        "EC point off the curve": lambda: seq(
            seq(oid("1.2.840.10045.2.1"), oid("1.2.840.10045.3.1.7")),
            forge.bit_string(b"\x04" + b"\x01" * 64),
        ),
        "Ed25519 key of 31 octets": lambda: seq(
            seq(oid("1.3.101.112")), forge.bit_string(b"\x01" * 31)
        ),
        "empty RSA key": lambda: seq(
            seq(oid("1.2.840.113549.1.1.1"), forge.NULL), forge.bit_string(b"")
        ),
    }.items():
        numbers[what] = lambda key=key: with_leaf(leaf(spki=key()))
    return refused("E156", short | numbers)


# Authorities


def below(length: int, *inner: int | None) -> Scene:
    """A root with a path length, and authorities with theirs below it."""
    chain: list[Spec] = []
    name, key = ROOT, forge.key("P256", "root")
    for depth, limit in enumerate(inner):
        own = dn(f"C=CH, O=Example, CN=CA {depth}")
        fresh = forge.key("P256", f"ca-{depth}")
        chain.append(
            authority(own, name, fresh, key, serial=100 + depth).having(
                basic=forge.basic(length=limit)
            )
        )
        name, key = own, fresh
    return Scene(
        leaf()
        .but(issuer=name, signer=key)
        .having(authority_key=forge.authority_key(forge.key_identifier(key))),
        root=root().having(basic=forge.basic(length=length)),
        pool=tuple(chain),
    )


def _authorities() -> list[Case]:
    none: dict[str, Maker] = {
        "inter without basicConstraints": lambda: with_inter(inter().having(basic=None)),
        "inter with cA false": lambda: with_inter(inter().having(basic=forge.basic(False))),
        "inter with cA false and a path length": lambda: with_inter(
            inter().having(basic=forge.basic(False, 3))
        ),
        "inter of version 1": lambda: with_inter(inter(version=None, extensions={})),
        "root without basicConstraints": lambda: with_root(root().having(basic=None)),
        "root with cA false": lambda: with_root(root().having(basic=forge.basic(False))),
        "root of version 1": lambda: with_root(root(version=None, extensions={})),
        "leaf as an authority": lambda: Scene(
            leaf()
            .but(
                issuer=LEAF,
                subject=dn("C=CH, O=Example, CN=below the leaf"),
                key=forge.key("P256", "below"),
                signer=forge.key("P256", "leaf"),
            )
            .having(authority_key=None),
            pool=(leaf(), inter()),
        ),
    }
    long: dict[str, Maker] = {
        "path length 0 at the root": lambda: below(0, None),
        "path length 1 at the root": lambda: below(1, None, None),
        "path length 0 at the first of two": lambda: below(9, 0, None),
        "path length 1 at the first of three": lambda: below(9, 1, None, None),
        "path length 0 in the middle of three": lambda: below(9, 5, 0, None),
        "path length that a lower one would widen": lambda: below(0, 9),
        "path length 2 at the root of three": lambda: below(2, 9, 9, 9),
    }
    return refused("E146", none) + refused("E147", long)


def _usages() -> list[Case]:
    key_usage: dict[str, Maker] = {
        "inter without keyCertSign": lambda: with_inter(inter().having(usage=forge.usage(6))),
        "inter for signatures alone": lambda: with_inter(inter().having(usage=forge.usage(0))),
        "root without keyCertSign": lambda: with_root(root().having(usage=forge.usage(6))),
    }
    for what, bit in (
        ("keyEncipherment", 2),
        ("dataEncipherment", 3),
        ("keyAgreement", 4),
        ("keyCertSign", 5),
        ("cRLSign", 6),
    ):
        key_usage[f"leaf for {what} alone"] = lambda bit=bit: with_leaf(
            leaf().having(usage=forge.usage(bit))
        )
    extended: dict[str, Maker] = {}
    for what, purpose in (
        ("codeSigning", CODE_SIGNING),
        ("emailProtection", EMAIL_PROTECTION),
        ("timeStamping", TIME_STAMPING),
        ("OCSPSigning", OCSP_SIGNING),
        ("an unknown purpose", "1.3.6.1.4.1.55555.4"),
    ):
        extended[f"leaf for {what} alone"] = lambda purpose=purpose: with_leaf(
            leaf().having(purposes=forge.purposes(purpose))
        )
        extended[f"inter for {what} alone"] = lambda purpose=purpose: with_inter(
            inter().having(purposes=forge.purposes(purpose))
        )
    server = {
        "leaf for clients where a server is asked for": CLIENT_AUTH,
        "leaf for IKE where a server is asked for": "1.3.6.1.5.5.7.3.17",
    }
    for what, purpose in server.items():
        extended[what] = lambda purpose=purpose: with_leaf(
            leaf().having(purposes=forge.purposes(purpose))
        ).ruled(eku=SERVER)
    extended["leaf for servers where a client is asked for"] = lambda: with_leaf(
        leaf().having(purposes=forge.purposes(SERVER_AUTH))
    ).ruled(eku=CLIENT)
    extended["leaf for nothing said where a server is asked for"] = lambda: with_leaf(
        leaf().having(purposes=None)
    ).ruled(eku=SERVER)
    extended["inter for clients where a server is asked for"] = lambda: with_inter(
        inter().having(purposes=forge.purposes(CLIENT_AUTH))
    ).ruled(eku=SERVER)
    critical: dict[str, Maker] = {}
    for what, place, spec in (
        ("leaf", with_leaf, leaf),
        ("inter", with_inter, inter),
        ("root", with_root, root),
    ):
        critical[f"{what} with an unknown critical extension"] = lambda place=place, spec=spec: (
            place(spec().having(strange=forge.unknown()))
        )
    critical["leaf with a critical extension of lists"] = lambda: with_leaf(
        leaf().having(strange=forge.scope(users=True))
    )
    critical["leaf with a critical extension of answers"] = lambda: with_leaf(
        leaf().having(strange=("1.3.6.1.5.5.7.48.1.2", True, forge.NULL))
    )
    return refused("E148", key_usage) + refused("E143", extended) + refused("E152", critical)


# Finding a way


def _ways() -> list[Case]:
    stranger = forge.key("P256", "stranger")
    unknown: dict[str, Maker] = {
        "another root": lambda: Scene(
            inter=inter(issuer=OTHER, signer=stranger).having(authority_key=None)
        ),
        "another root that was sent along": lambda: Scene(
            inter=inter(issuer=OTHER, signer=stranger).having(authority_key=None),
            pool=(
                inter(issuer=OTHER, signer=stranger).having(authority_key=None),
                authority(OTHER, OTHER, stranger, stranger),
            ),
        ),
        "a self-signed leaf": lambda: Scene(
            leaf().but(issuer=LEAF, signer=forge.key("P256", "leaf")).having(authority_key=None)
        ),
        "a root of the same name with another key": lambda: Scene(
            root=authority(ROOT, ROOT, stranger, stranger)
        ),
        "no anchors at all": lambda: Scene(leaf().but(issuer=dn("CN=alone")), anchors=(), pool=()),
    }
    for what, name in LOOK_ALIKES.items():
        unknown[f"root's name with {what}"] = lambda name=name: Scene(
            inter=inter(issuer=name).having(authority_key=None)
        )
    missing: dict[str, Maker] = {
        "inter not sent, akin to the root by organization": lambda: Scene(pool=()),
        "inter not sent, its place named": lambda: Scene(
            leaf(issuer=dn("CN=Somebody")).having(
                place=forge.authority_information(issuers="http://ca.example.net/ca.cer")
            ),
            pool=(),
        ),
        "inter not sent, its issuer named": lambda: Scene(
            leaf(issuer=dn("CN=Somebody")).having(
                authority_key=forge.authority_key(b"x" * 20, ROOT, 2)
            ),
            pool=(),
        ),
        "another authority's certificate sent instead": lambda: Scene(
            pool=(authority(OTHER, ROOT, stranger, forge.key("P256", "root")),)
        ),
    }
    return refused("E140", unknown) + refused("E145", missing)


LOOK_ALIKES = {
    "its parts in another order": dn("C=CH, CN=Example Root, O=Look"),
    "a Cyrillic letter": dn("C=CH, O=Lооk, CN=Example Root"),
    "an invisible character": dn("C=CH, O=Exam\u200bple, CN=Example Root"),
    "a NUL inside": dn("C=CH, O=Example\x00, CN=Example Root"),
    "a part more": dn("C=CH, O=Other, CN=Example Root, CN=Example Root"),
    "all parts in one": forge.rdns(
        forge.attribute("C", "CH") + forge.attribute("CN", "Example Root")
    ),
    "its text as an octet string": forge.rdns(
        forge.attribute("C", "CH"), forge.attribute("CN", "Example Root", 0x04)
    ),
    "a blank missing": dn("C=CH, CN=ExampleRoot"),
}
"""None shares an organization with the anchor, so that nobody takes it for a missing issuer."""


def mesh(width: int, depth: int) -> tuple[Spec, ...]:
    """Layers of authorities that all certify each other: width to the power of depth paths."""
    found: list[Spec] = []
    for layer in range(depth):
        for column in range(width):
            own = dn(f"O=Mesh, CN=CA {layer}")
            key = forge.key("P256", f"mesh-{layer}-{column}")
            for above in range(width):
                found.append(
                    authority(
                        own,
                        dn(f"O=Mesh, CN=CA {layer + 1}"),
                        key,
                        forge.key("P256", f"mesh-{layer + 1}-{above}"),
                    ).having(authority_key=None)
                )
    return tuple(found)


def _too_much() -> list[Case]:
    def meshed() -> Scene:
        below_mesh = leaf().but(issuer=dn("O=Mesh, CN=CA 0"), signer=forge.key("P256", "mesh-0-0"))
        return Scene(below_mesh.having(authority_key=None), pool=mesh(3, 6))

    def many_bad_paths() -> Scene:
        """Twenty intermediate authorities of one key, each expired in its own second."""
        each = tuple(
            inter(serial=500 + n, not_before=AT - YEAR, not_after=AT - 1 - n) for n in range(20)
        )
        distinct = tuple(spec.but(key=forge.key("P256", "inter"), subject=INTER) for spec in each)
        return Scene(pool=distinct)

    def constrained() -> Scene:
        many = [forge.dns(f"h{n}.example.net") for n in range(200)]
        return Scene(
            leaf().having(names=forge.names(*many)),
            inter().having(subtrees=forge.subtrees(excluded=many)),
        )

    return refused(
        "E159",
        {
            "65 certificates": lambda: Scene(pool=(inter(),) * 65),
            "a path of nine": lambda: below(20, *(None,) * 7),
            "a mesh of authorities": meshed,
            "many paths that do not hold": many_bad_paths,
            "names times constraints": constrained,
        },
    )


# Policies

P1, P2, P3 = (f"1.3.6.1.4.1.55555.10.{n}" for n in (1, 2, 3))
ANY = ext.ANY_POLICY


def under(*said: tuple[forge.Extension, ...], leaf_policy: str) -> Scene:
    """Authorities below each other, each with these extensions, and a leaf with a policy."""
    scene = below(9, *(None for _ in said))
    assert scene.pool is not None
    pool = tuple(
        spec.having(**{f"policy_{n}": one for n, one in enumerate(each)})
        for spec, each in zip(scene.pool, said, strict=True)
    )
    return scene.but(pool=pool, leaf=scene.leaf.having(p=forge.policies(leaf_policy)))


def _policies() -> list[Case]:
    require = forge.policy_constraints(explicit=0)

    def with_policies(at_inter: object, at_leaf: object, **more: object) -> Scene:
        return Scene(
            leaf().having(policies=at_leaf),  # type: ignore[arg-type]
            inter().having(policies=at_inter, **more),  # type: ignore[arg-type]
        )

    return refused(
        "E158",
        {
            "explicit policy and none": lambda: Scene(inter=inter().having(c=require)),
            "explicit policy and none in the leaf": lambda: with_policies(
                forge.policies(P1), None, c=require
            ),
            "explicit policy and another one": lambda: with_policies(
                forge.policies(P1), forge.policies(P2), c=require
            ),
            "explicit policy asked of the leaf alone": lambda: Scene(
                leaf().having(c=require), inter()
            ),
            "explicit policy by our own rule": lambda: Scene().ruled(explicit_policy=True),
            "a policy that we do not accept": lambda: with_policies(
                forge.policies(P1), forge.policies(P1)
            ).ruled(explicit_policy=True, policies=frozenset({P2})),
            "any policy inhibited": lambda: with_policies(
                forge.policies(ANY), forge.policies(P1), c=require, i=forge.inhibit_any(0)
            ).ruled(inhibit_any_policy=True),
            "any policy inhibited for the leaf": lambda: with_policies(
                forge.policies(P1), forge.policies(ANY), c=require, i=forge.inhibit_any(0)
            ),
            "mapped to another policy than the leaf's": lambda: with_policies(
                forge.policies(P1), forge.policies(P1), c=require, m=forge.mappings((P1, P2))
            ),
            "mapping inhibited by an authority far above": lambda: under(
                (forge.policies(P1), forge.policy_constraints(0, 0)),
                (forge.policies(P1),),
                (forge.policies(P1), forge.mappings((P1, P2))),
                leaf_policy=P2,
            ),
            "any policy inhibited by an authority far above": lambda: under(
                (forge.policies(P1), forge.policy_constraints(0), forge.inhibit_any(1)),
                (forge.policies(P1),),
                (forge.policies(ANY),),
                leaf_policy=P1,
            ),
            "mapping from any policy": lambda: with_policies(
                forge.policies(P1), forge.policies(P1), m=forge.mappings((ANY, P2))
            ),
            "mapping to any policy": lambda: with_policies(
                forge.policies(P1), forge.policies(P1), m=forge.mappings((P1, ANY))
            ),
            "mapping inhibited by our own rule": lambda: with_policies(
                forge.policies(P1), forge.policies(P2), c=require, m=forge.mappings((P1, P2))
            ).ruled(inhibit_policy_mapping=True),
        },
    )


def cases() -> list[Case]:
    """All of them."""
    return [
        *_times(),
        *_signatures(),
        *_algorithms(),
        *_keys(),
        *_authorities(),
        *_usages(),
        *_ways(),
        *_too_much(),
        *_policies(),
    ]
