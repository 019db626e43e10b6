"""Hypothesis strategies for every IKEv1 payload and for whole messages."""

from hypothesis import strategies as st

from isthmus.values.registry.ikev1 import PayloadType
from isthmus.wire.header import Header
from isthmus.wire.v1 import (
    VERSION_1,
    Attribute,
    Attributes,
    Certificate,
    CertificateRequest,
    Delete,
    Fragment,
    Hash,
    Identification,
    KeyExchange,
    NatDetection,
    NatOriginalAddress,
    Nonce,
    Notify,
    ProposalV1,
    SecurityAssociation,
    Signature,
    TransformV1,
    Unknown,
    VendorId,
)
from isthmus.wire.v1.delete import SPI_SIZES
from isthmus.wire.v1.identification import SIZES

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
data = st.binary(max_size=80)
known_types = frozenset(int(kind) for kind in PayloadType)

attributes = st.lists(
    st.builds(Attribute, st.integers(0, 0x7FFF), u16 | st.binary(max_size=12)), max_size=6
).map(tuple)
transforms = st.builds(TransformV1, number=u8, id=u8, attributes=attributes)
proposals = st.builds(
    ProposalV1,
    number=u8,
    protocol=u8,
    spi=st.binary(max_size=16) | st.binary(min_size=255, max_size=255),
    transforms=st.lists(transforms, max_size=5).map(tuple),
)


@st.composite
def identifications(draw: st.DrawFn) -> Identification:
    kind = draw(u8)
    size = SIZES.get(kind)
    octets = draw(data if size is None else st.binary(min_size=size, max_size=size))
    return Identification(kind, draw(u8), draw(u16), octets)


@st.composite
def deletes(draw: st.DrawFn) -> Delete:
    protocol = draw(st.sampled_from(sorted(SPI_SIZES)))
    size = draw(st.sampled_from(SPI_SIZES[protocol]))
    spis = draw(st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=8))
    return Delete(protocol, tuple(spis), draw(u32))


payloads = {
    "sa": st.builds(SecurityAssociation, st.lists(proposals, min_size=1, max_size=4).map(tuple)),
    "ke": st.builds(KeyExchange, data),
    "id": identifications(),
    "cert": st.builds(Certificate, u8, data),
    "cr": st.builds(CertificateRequest, u8, data),
    "hash": st.builds(Hash, data),
    "sig": st.builds(Signature, data),
    "nonce": st.builds(Nonce, st.binary(min_size=8, max_size=256)),
    "notify": st.builds(Notify, u16, data, u8, st.binary(max_size=255), u32),
    "delete": deletes(),
    "vendor": st.builds(VendorId, data),
    "attributes": st.builds(Attributes, u8, u16, attributes),
    "nat_d": st.builds(NatDetection, data, st.booleans()),
    "nat_oa": st.builds(NatOriginalAddress, st.just(1), st.binary(min_size=4, max_size=4))
    | st.builds(NatOriginalAddress, st.just(5), st.binary(min_size=16, max_size=16), st.booleans()),
    "fragment": st.builds(
        Fragment, u16, st.integers(1, 255), st.booleans(), st.binary(min_size=1, max_size=80)
    ),
    "unknown": st.builds(
        Unknown, st.integers(128, 255).filter(lambda kind: kind not in known_types), data
    ),
}
"""By name."""
chains = st.lists(st.one_of(*payloads.values()), max_size=10).map(tuple)
headers = st.builds(
    Header,
    spi_i=st.binary(min_size=8, max_size=8),
    spi_r=st.binary(min_size=8, max_size=8),
    next_payload=st.just(0),
    version=st.just(VERSION_1),
    exchange=u8,
    flags=u8.map(lambda flags: flags & ~1),
    message_id=u32,
)
"""Of messages in clear."""
