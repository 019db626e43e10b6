"""A good path of three and everything around it; tests change one thing in it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

from isthmus.values.trust import EkuRule, RevocationMode
from isthmus.x509 import path as paths
from isthmus.x509 import revocation
from isthmus.x509.certificate import Certificate
from isthmus.x509.crl import Crl
from isthmus.x509.ocsp import OcspAnswer
from isthmus.x509.rules import PathRules, VerifiedPath

from . import forge
from .forge import AT, AnswerSpec, ListSpec, Spec

ROOT = forge.dn("C=CH, O=Example, CN=Example Root")
INTER = forge.dn("C=CH, O=Example, CN=Example Issuing CA")
LEAF = forge.dn("C=CH, O=Example, CN=gw.example.net")
OTHER = forge.dn("C=XX, O=Elsewhere, CN=Elsewhere Root")


def authority(
    subject: bytes, issuer: bytes, key: forge.Key, signer: forge.Key, **fields: object
) -> Spec:
    """An authority's certificate as it should be."""
    spec = Spec(
        subject,
        issuer,
        key,
        signer,
        extensions={
            "basic": forge.basic(),
            "usage": forge.usage(5, 6),
            "subject_key": forge.subject_key(forge.key_identifier(key)),
            "authority_key": forge.authority_key(forge.key_identifier(signer)),
        },
    )
    return spec.but(**fields)


def root(kind: str = "P256", **fields: object) -> Spec:
    """A root."""
    key = forge.key(kind, "root")
    return authority(ROOT, ROOT, key, key).but(serial=1).but(**fields)


def inter(kind: str = "P256", above: str = "P256", **fields: object) -> Spec:
    """An intermediate authority below the root."""
    key, signer = forge.key(kind, "inter"), forge.key(above, "root")
    return authority(INTER, ROOT, key, signer).but(serial=2).but(**fields)


def leaf(kind: str = "P256", above: str = "P256", **fields: object) -> Spec:
    """A gateway's certificate below the intermediate authority."""
    key, signer = forge.key(kind, "leaf"), forge.key(above, "inter")
    spec = Spec(
        LEAF,
        INTER,
        key,
        signer,
        serial=0x1234,
        extensions={
            "usage": forge.usage(0),
            "purposes": forge.purposes("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.17"),
            "names": forge.names(forge.dns("gw.example.net"), forge.ip("192.0.2.1")),
            "subject_key": forge.subject_key(forge.key_identifier(key)),
            "authority_key": forge.authority_key(forge.key_identifier(signer)),
        },
    )
    return spec.but(**fields)


@cache
def default_root() -> Spec:
    return root()


@cache
def default_inter() -> Spec:
    return inter()


@cache
def default_leaf() -> Spec:
    return leaf()


@dataclass(frozen=True)
class Scene:
    """What one judgement gets. Certificates, lists and answers are made when it is judged."""

    leaf: Spec = field(default_factory=default_leaf)
    inter: Spec = field(default_factory=default_inter)
    root: Spec = field(default_factory=default_root)
    pool: tuple[Spec, ...] | None = None
    """The intermediate authority alone if None."""
    anchors: tuple[Spec, ...] | None = None
    """The root alone if None."""
    at: int = AT
    rules: PathRules = field(default_factory=PathRules)
    crls: tuple[ListSpec, ...] = ()
    answers: tuple[AnswerSpec, ...] = ()
    extra: tuple[Spec, ...] = ()
    mode: RevocationMode = RevocationMode.OFF
    admitted: bool = False
    """Lists and answers come from the network."""
    nonce: bytes = b""

    def but(self, **changes: object) -> "Scene":
        """With other fields."""
        return replace(self, **changes)  # type: ignore[arg-type]

    def ruled(self, **changes: object) -> "Scene":
        """With other rules."""
        return replace(self, rules=replace(self.rules, **changes))  # type: ignore[arg-type]

    def prepare(self) -> Callable[[], VerifiedPath]:
        """All octets made; the call reads and judges them. It raises what refuses."""
        pool = tuple(s.der() for s in ((self.inter,) if self.pool is None else self.pool))
        anchors = tuple(s.der() for s in ((self.root,) if self.anchors is None else self.anchors))
        leaf_der = self.leaf.der()
        crls = tuple(crl.der() for crl in self.crls)
        answers = tuple(answer.der() for answer in self.answers)
        extra = tuple(spec.der() for spec in self.extra)

        def judged() -> VerifiedPath:
            return self._judge(leaf_der, pool, anchors, crls, answers, extra)

        return judged

    def _judge(
        self,
        leaf_der: bytes,
        pool: tuple[bytes, ...],
        anchors: tuple[bytes, ...],
        crls: tuple[bytes, ...],
        answers: tuple[bytes, ...],
        extra: tuple[bytes, ...],
    ) -> VerifiedPath:
        read = Certificate.parse
        # By their modules, so that a test can replace them.
        path = paths.validate(
            read(leaf_der),
            [read(der) for der in pool],
            [read(der) for der in anchors],
            at=self.at,
            rules=self.rules,
        )
        lists = [Crl.parse(der) for der in crls]
        said = [OcspAnswer.parse(der) for der in answers]
        for answer in said if self.nonce else ():
            answer.check_nonce(self.nonce)
        statuses = revocation.Statuses.of(certificates=[read(der) for der in extra])
        for crl in lists:
            statuses = (
                revocation.admit_crl(statuses, crl, path, self.at)
                if self.admitted
                else statuses.with_crl(crl)
            )
        for answer in said:
            statuses = (
                revocation.admit_answer(statuses, answer, path, self.at)
                if self.admitted
                else statuses.with_answer(answer)
            )
        revocation.judge(path, statuses, self.at, self.mode)
        return path


STRICT = RevocationMode.STRICT
SOFT = RevocationMode.SOFT
SERVER = EkuRule.SERVER
CLIENT = EkuRule.CLIENT


@cache
def leaf_list() -> ListSpec:
    """The intermediate authority's list, empty."""
    return ListSpec(INTER, forge.key("P256", "inter"))


@cache
def root_list() -> ListSpec:
    """The root's list, empty."""
    return ListSpec(ROOT, forge.key("P256", "root"))


@cache
def leaf_answer() -> AnswerSpec:
    """The intermediate authority's own answer about the leaf: good."""
    key = forge.key("P256", "inter")
    return AnswerSpec(forge.cert_id(INTER, key, 0x1234), key, forge.tagged(1, INTER))


@cache
def inter_answer() -> AnswerSpec:
    """The root's own answer about the intermediate authority: good."""
    key = forge.key("P256", "root")
    return AnswerSpec(forge.cert_id(ROOT, key, 2), key, forge.tagged(1, ROOT))
