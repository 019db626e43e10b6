"""Name constraints: which names an authority may give out (RFC 5280 §4.2.1.10, §6.1.4 g).

Constraints pile up from the anchor down: a name must lie within the permitted subtrees of every
authority that permits some of its kind, and in no excluded one. Names of a kind that cannot be
compared here are refused where a constraint speaks of their kind.
"""

from dataclasses import dataclass, replace

from isthmus.x509.certificate import Certificate
from isthmus.x509.errors import Defect, Untrusted
from isthmus.x509.extensions import Subtrees
from isthmus.x509.general_name import GeneralName, NameKind, subject_name

COMPARISONS_MAX = 8192
"""In one path. Names times subtrees is what makes name constraints slow: it is bounded."""


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the authorities from the anchor down to here say, and the comparisons left."""

    layers: tuple[Subtrees, ...] = ()
    comparisons_left: int = COMPARISONS_MAX

    def narrowed(self, subtrees: Subtrees | None) -> "Constraints":
        """With one more authority's constraints."""
        if subtrees is None:
            return self
        return replace(self, layers=(*self.layers, subtrees))

    def checked(self, certificate: Certificate) -> "Constraints":
        """Hold every name of a certificate against every constraint.

        Raises Untrusted for a name outside. Returns the constraints with fewer comparisons left.
        """
        if not self.layers:
            return self
        names = _names(certificate)
        bases = sum(len(layer.permitted) + len(layer.excluded) for layer in self.layers)
        left = self.comparisons_left - bases * len(names)
        if left < 0:
            raise Untrusted(
                Defect.TOO_MUCH,
                f"{len(names)} names of {certificate.subject_text} under {bases} name constraints",
            )
        for name in names:
            for layer in self.layers:
                _check(certificate, name, layer)
        return replace(self, comparisons_left=left)


def _names(certificate: Certificate) -> list[GeneralName]:
    names = list(certificate.alternative_names)
    if not certificate.subject.empty:
        names.append(subject_name(certificate.subject))
    # RFC 5280 asks this only of certificates without alternative names; a mail address is held to
    # its constraint wherever it stands.
    names.extend(GeneralName(NameKind.EMAIL, mail) for mail in certificate.subject.emails)
    return names


def _check(certificate: Certificate, name: GeneralName, layer: Subtrees) -> None:
    permitted = [base for base in layer.permitted if base.kind is name.kind]
    excluded = [base for base in layer.excluded if base.kind is name.kind]
    if not permitted and not excluded:
        return
    if name.kind not in _COMPARED:
        reason = "is of a kind that constraints cannot be compared with here"
    elif any(within(name, base, unsure=True) for base in excluded):
        reason = "is excluded by the name constraints of an authority above it"
    elif permitted and not any(within(name, base, unsure=False) for base in permitted):
        reason = "is outside what an authority above it may give out"
    else:
        return
    raise Untrusted(Defect.NAME_CONSTRAINTS, f"{name} of {certificate.subject_text} {reason}")


_COMPARED = frozenset({NameKind.DIRECTORY, NameKind.DNS, NameKind.EMAIL, NameKind.URI, NameKind.IP})


def within(name: GeneralName, base: GeneralName, *, unsure: bool) -> bool:
    """`name` lies in the subtree of `base`, which is of the same kind.

    `unsure` is the answer for a name without the part that is compared, such as a URI without a
    host name: outside what is permitted, inside what is excluded.
    """
    match name.kind:
        case NameKind.DIRECTORY:
            if name.directory is None or base.directory is None:
                return unsure
            return name.directory.within(base.directory)
        case NameKind.DNS:
            return _dns_within(name.octets.lower(), base.octets.lower())
        case NameKind.EMAIL:
            return _email_within(name.octets, base.octets, unsure)
        case NameKind.URI:
            host = uri_host(name.octets.lower())
            return unsure if host is None else _host_within(host, base.octets.lower())
        case NameKind.IP:
            return _address_within(name.octets, base.octets)
        case _:
            return unsure


def _dns_within(name: bytes, base: bytes) -> bool:
    """Zero or more labels added on the left; a leading dot asks for one at least."""
    if base.startswith(b"."):
        return name.endswith(base) and len(name) > len(base)
    return not base or name == base or name.endswith(b"." + base)


def _host_within(host: bytes, base: bytes) -> bool:
    """E-mail and URI: a leading dot means the hosts below, without one exactly this host."""
    if base.startswith(b"."):
        return host.endswith(base) and len(host) > len(base)
    return not base or host == base


def _email_within(mail: bytes, base: bytes, unsure: bool) -> bool:
    local, at, host = mail.rpartition(b"@")
    if not at or not local or not host:
        return unsure
    base_local, base_at, base_host = base.rpartition(b"@")
    if base_at:
        return local == base_local and host.lower() == base_host.lower()
    return _host_within(host.lower(), base.lower())


def uri_host(uri: bytes) -> bytes | None:
    """The host name of a URI; None where it has none, or an address."""
    scheme, found, rest = uri.partition(b"://")
    if not found or not scheme:
        return None
    authority = rest.replace(b"?", b"/").replace(b"#", b"/").partition(b"/")[0]
    host = authority.rpartition(b"@")[2]
    if host.startswith(b"["):
        return None
    host = host.partition(b":")[0]
    if not host or host.replace(b".", b"").isdigit():
        return None
    return host


def _address_within(address: bytes, base: bytes) -> bool:
    half = len(base) // 2
    if len(address) != half:
        return False
    network, mask = int.from_bytes(base[:half]), int.from_bytes(base[half:])
    return int.from_bytes(address) & mask == network & mask
