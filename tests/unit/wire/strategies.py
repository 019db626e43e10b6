"""Hypothesis strategies for every payload and for whole messages: values that wire can say."""

from ipaddress import IPv4Address, IPv6Address

from hypothesis import strategies as st

from isthmus.values.identity import Identity
from isthmus.values.proposal import Proposal, Transform
from isthmus.values.registry.ikev2 import (
    EapCode,
    IdType,
    PayloadType,
    SecurityProtocol,
    known,
)
from isthmus.values.selector import TrafficSelector
from isthmus.wire.header import Header
from isthmus.wire.v2 import (
    Authentication,
    Certificate,
    CertificateRequest,
    ConfigurationAttribute,
    ConfigurationPayload,
    Delete,
    Eap,
    Encrypted,
    EncryptedFragment,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    UnknownSelector,
    VendorId,
)

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
data = st.binary(max_size=80)
known_types = frozenset(int(t) for t in PayloadType)
sa_protocols = st.sampled_from([SecurityProtocol.IKE, SecurityProtocol.AH, SecurityProtocol.ESP])

transforms = st.builds(
    Transform,
    kind=u8,
    number=u16,
    key_bits=st.none() | u16,
    unknown_attributes=st.booleans(),
)
proposals = st.builds(
    Proposal,
    protocol=sa_protocols,
    transforms=st.lists(transforms, max_size=6).map(tuple),
    spi=st.binary(max_size=8) | st.binary(min_size=255, max_size=255),
    number=u8,
)


@st.composite
def identities(draw: st.DrawFn) -> Identity:
    kind = draw(u8)
    size = {IdType.IPV4_ADDR: 4, IdType.IPV6_ADDR: 16}.get(kind)
    octets = draw(data if size is None else st.binary(min_size=size, max_size=size))
    return Identity(known(IdType, kind), octets)


@st.composite
def selectors(draw: st.DrawFn) -> TrafficSelector:
    """Any range of either family, with ports, all ports, one port or OPAQUE."""
    family, bits = draw(st.sampled_from([(IPv4Address, 32), (IPv6Address, 128)]))
    low, high = sorted(draw(st.tuples(*[st.integers(0, 2**bits - 1)] * 2)))
    ports = draw(
        st.sampled_from([(0, 65535), (65535, 0)]) | st.tuples(u16, u16).map(lambda p: sorted(p))
    )
    return TrafficSelector(family(low), family(high), draw(u8), *ports)


unknown_selectors = st.builds(
    lambda kind, protocol, rest: UnknownSelector(
        bytes([kind, protocol]) + (4 + len(rest)).to_bytes(2, "big") + rest
    ),
    u8.filter(lambda kind: kind not in (7, 8)),
    u8,
    data,
)
eaps = st.one_of(
    st.builds(Eap, st.sampled_from([EapCode.SUCCESS, EapCode.FAILURE]), u8),
    st.builds(
        Eap,
        st.sampled_from([EapCode.REQUEST, EapCode.RESPONSE]),
        u8,
        st.binary(min_size=1, max_size=40),
    ),
)
deletes = st.one_of(
    st.just(Delete(SecurityProtocol.IKE)),
    st.builds(
        Delete,
        st.sampled_from([SecurityProtocol.AH, SecurityProtocol.ESP]),
        st.lists(st.binary(min_size=4, max_size=4), max_size=8).map(tuple),
    ),
)
notifies = st.one_of(
    st.builds(Notify, u16, data),
    st.builds(
        Notify,
        u16,
        data,
        st.sampled_from(SecurityProtocol),
        st.binary(min_size=1, max_size=255),
    ),
)
fragments = st.tuples(u16, u16).map(sorted).filter(lambda pair: pair[0] > 0)

inner = {
    "sa": st.builds(SecurityAssociation, st.lists(proposals, min_size=1, max_size=4).map(tuple)),
    "ke": st.builds(KeyExchange, u16, data),
    "id": st.builds(
        Identification, st.sampled_from([PayloadType.ID_I, PayloadType.ID_R]), identities()
    ),
    "cert": st.builds(Certificate, u8, data),
    "certreq": st.builds(CertificateRequest, u8, data),
    "auth": st.builds(Authentication, u8, data),
    "nonce": st.builds(Nonce, st.binary(min_size=16, max_size=256)),
    "notify": notifies,
    "delete": deletes,
    "vendor": st.builds(VendorId, data),
    "ts": st.builds(
        TrafficSelectors,
        st.sampled_from([PayloadType.TS_I, PayloadType.TS_R]),
        st.lists(selectors() | unknown_selectors, min_size=1, max_size=6).map(tuple),
    ),
    "cp": st.builds(
        ConfigurationPayload,
        u8,
        st.lists(st.builds(ConfigurationAttribute, st.integers(0, 0x7FFF), data), max_size=6).map(
            tuple
        ),
    ),
    "eap": eaps,
    "unknown": st.builds(
        Unknown, u8.filter(lambda kind: kind not in known_types), st.just(False), data
    ),
}
"""Payloads that may lie inside an SK payload, by name."""
outer = {
    "sk": st.builds(Encrypted, u8, data),
    "skf": st.builds(
        lambda first, pair, body: EncryptedFragment(first, *pair, body), u8, fragments, data
    ),
}
"""The two that end a message."""
payloads = {**inner, **outer}

headers = st.builds(
    Header,
    spi_i=st.binary(min_size=8, max_size=8),
    spi_r=st.binary(min_size=8, max_size=8),
    next_payload=st.just(0),
    version=st.integers(0x20, 0x2F),
    exchange=u8,
    flags=st.sampled_from([0x00, 0x08, 0x20, 0x28]),
    message_id=u32,
)
chains = st.lists(st.one_of(*inner.values()), max_size=10).map(tuple)
message_payloads = st.builds(
    lambda chain, last: chain + last,
    chains,
    st.just(()) | st.one_of(*outer.values()).map(lambda payload: (payload,)),
)
