"""S-05: what each exchange may carry, by leaving out, doubling, moving and adding payloads."""

from itertools import permutations

import pytest

from isthmus.values.errors import Malformed
from isthmus.values.identity import Identity
from isthmus.values.proposal import Proposal, parse_proposal
from isthmus.values.registry.ikev2 import (
    ExchangeType,
    IdType,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from isthmus.values.selector import TrafficSelector
from isthmus.wire.v2 import (
    Authentication,
    Certificate,
    CertificateRequest,
    ConfigurationPayload,
    Delete,
    Eap,
    Encrypted,
    Identification,
    KeyExchange,
    Nonce,
    Notify,
    Payload,
    SecurityAssociation,
    TrafficSelectors,
    Unknown,
    VendorId,
    payload_type,
)
from isthmus.wire.v2.rules import check

from .samples import GOLDEN

T = PayloadType
INIT = ExchangeType.IKE_SA_INIT
AUTH = ExchangeType.IKE_AUTH
CREATE = ExchangeType.CREATE_CHILD_SA
INFO = ExchangeType.INFORMATIONAL

IKE_OFFER = parse_proposal("aes256gcm16-prfsha384-x25519", SecurityProtocol.IKE)
ESP_OFFER = parse_proposal("aes256gcm16", SecurityProtocol.ESP).with_spi(b"\1\2\3\4", 1)
EVERYTHING = (TrafficSelector.everything(4),)
ERROR = Notify(NotifyType.NO_PROPOSAL_CHOSEN)


def association(*proposals: Proposal) -> SecurityAssociation:
    return SecurityAssociation(proposals)


SA_INIT = association(IKE_OFFER)
SA_IKE = association(IKE_OFFER.with_spi(bytes(8), 1))
SA_ESP = association(ESP_OFFER)
KE = KeyExchange(31, bytes(32))
NONCE = Nonce(bytes(32))
ID_I = Identification(T.ID_I, Identity(IdType.FQDN, b"a.example"))
ID_R = Identification(T.ID_R, Identity(IdType.FQDN, b"b.example"))
PROOF = Authentication(2, bytes(32))
TS_I = TrafficSelectors(T.TS_I, EVERYTHING)
TS_R = TrafficSelectors(T.TS_R, EVERYTHING)
CERT = Certificate(4, b"x")
CERTREQ = CertificateRequest(4, bytes(20))
CP = ConfigurationPayload(1)
EAP = Eap(1, 1, b"\1")
REKEY = Notify(NotifyType.REKEY_SA, b"", SecurityProtocol.ESP, b"\1\2\3\4")

FIT: dict[str, tuple[int, bool, tuple[Payload, ...]]] = {
    "init request": (INIT, False, (SA_INIT, KE, NONCE)),
    "init response": (INIT, True, (SA_INIT, KE, NONCE, CERTREQ, CERTREQ)),
    "auth request": (AUTH, False, (ID_I, CERT, CERTREQ, ID_R, PROOF, CP, SA_ESP, TS_I, TS_R)),
    "auth request, EAP wanted": (AUTH, False, (ID_I, SA_ESP, TS_I, TS_R)),
    "auth request, EAP": (AUTH, False, (EAP,)),
    "auth request, last": (AUTH, False, (PROOF,)),
    "auth response": (AUTH, True, (ID_R, CERT, PROOF, CP, SA_ESP, TS_I, TS_R)),
    "auth response, EAP first": (AUTH, True, (ID_R, CERT, PROOF, EAP)),
    "child request": (CREATE, False, (CP, SA_ESP, NONCE, KE, TS_I, TS_R)),
    "child rekey request": (CREATE, False, (REKEY, SA_ESP, NONCE, TS_I, TS_R)),
    "child response": (CREATE, True, (SA_ESP, NONCE, KE, TS_I, TS_R)),
    "ike rekey request": (CREATE, False, (SA_IKE, NONCE, KE)),
    "ike rekey response": (CREATE, True, (SA_IKE, NONCE, KE)),
    "information": (INFO, False, (Delete(SecurityProtocol.IKE), Delete(SecurityProtocol.ESP), CP)),
    "probe": (INFO, False, ()),
}

MAY_LACK: dict[str, set[int]] = {
    "init request": set(),
    "init response": {T.CERTREQ},
    "auth request": {T.CERT, T.CERTREQ, T.ID_R, T.AUTH, T.CP},
    "auth request, EAP wanted": set(),
    "auth request, EAP": set(),
    "auth request, last": set(),
    "auth response": {T.ID_R, T.CERT, T.CP},
    "auth response, EAP first": {T.ID_R, T.CERT, T.AUTH, T.EAP},
    "child request": {T.CP, T.KE},
    "child rekey request": {T.NOTIFY},
    "child response": {T.KE},
    "ike rekey request": set(),
    "ike rekey response": set(),
    "information": {T.DELETE, T.CP},
    "probe": set(),
}
"""Written by hand from RFC 7296 appendix C, apart from the tables of `rules.py`."""

MAY_REPEAT = {T.CERT, T.CERTREQ, T.DELETE, T.NOTIFY, T.VENDOR_ID}


def fits(exchange: int, is_response: bool, payloads: tuple[Payload, ...]) -> bool:
    try:
        check(exchange, is_response, payloads)
    except Malformed:
        return False
    return True


@pytest.mark.parametrize("name", FIT)
def test_what_appendix_c_shows_fits(name: str) -> None:
    check(*FIT[name])


@pytest.mark.parametrize("name", FIT)
def test_a_payload_left_out_is_missed_where_it_must_be(name: str) -> None:
    exchange, is_response, payloads = FIT[name]
    for payload in payloads:
        kind = payload_type(payload)
        rest = tuple(p for p in payloads if payload_type(p) != kind)
        assert fits(exchange, is_response, rest) is (kind in MAY_LACK[name]), kind


@pytest.mark.parametrize("name", FIT)
def test_a_payload_that_stands_twice_is_malformed_unless_it_may(name: str) -> None:
    exchange, is_response, payloads = FIT[name]
    for payload in payloads:
        kind = payload_type(payload)
        twice = (*payloads, payload)
        assert fits(exchange, is_response, twice) is (kind in MAY_REPEAT and payload != REKEY), kind


@pytest.mark.parametrize("name", FIT)
def test_a_payload_of_another_exchange_is_malformed(name: str) -> None:
    exchange, is_response, payloads = FIT[name]
    present = {payload_type(p) for p in payloads}
    allowed = present | MAY_LACK[name] | {T.NOTIFY, T.VENDOR_ID}
    allowed |= {
        "init response": {T.CERTREQ},
        "auth request, EAP wanted": MAY_LACK["auth request"],
        "auth response": {T.CERTREQ},
        "auth request, last": {T.ID_I},
        "child rekey request": {T.KE, T.CP},
        "child response": {T.CP},
        "probe": {T.DELETE, T.CP},
    }.get(name, set())
    for golden in GOLDEN:
        kind = payload_type(golden.value)
        if kind in allowed or kind == T.SA or isinstance(golden.value, Unknown):
            continue
        if name.startswith("auth") and kind in (T.EAP, T.ID_I):
            continue  # they make it another message of the same exchange, tested on their own
        assert not fits(exchange, is_response, (*payloads, golden.value)), golden.name


@pytest.mark.parametrize(
    "name", ["init request", "child rekey request", "probe", "ike rekey request"]
)
def test_the_order_of_payloads_does_not_matter(name: str) -> None:
    """RFC 7296 §2.5: payloads may come in any order."""
    exchange, is_response, payloads = FIT[name]
    for order in permutations(payloads):
        check(exchange, is_response, order)


@pytest.mark.parametrize("name", FIT)
def test_unknown_payloads_and_notifies_and_vendors_fit_anywhere(name: str) -> None:
    exchange, is_response, payloads = FIT[name]
    extra = (Unknown(200, False, b""), Notify(40000, b"x"), Notify(40000), VendorId(b"v"))
    check(exchange, is_response, (*extra, *payloads, *extra))


@pytest.mark.parametrize("exchange", [INIT, AUTH, CREATE])
def test_an_error_in_a_response_takes_the_place_of_the_rest(exchange: int) -> None:
    check(exchange, True, (ERROR,))
    check(exchange, True, (Notify(9999),))  # unrecognized: failed entirely, RFC 7296 §3.10.1
    assert not fits(exchange, False, (ERROR,))
    assert not fits(exchange, True, (Notify(NotifyType.INITIAL_CONTACT),))
    assert not fits(exchange, True, ())


def test_a_child_that_failed_leaves_authentication_standing() -> None:
    """RFC 7296 §2.21.2 and, with no child asked for, RFC 6023."""
    check(AUTH, True, (ID_R, CERT, PROOF, ERROR))
    check(AUTH, True, (ID_R, PROOF))
    check(AUTH, False, (ID_I, PROOF))
    for partial in ((SA_ESP,), (SA_ESP, TS_I), (TS_I, TS_R)):
        assert not fits(AUTH, True, (ID_R, PROOF, *partial))
        assert not fits(AUTH, False, (ID_I, PROOF, *partial))


def test_an_exchange_between_eap_and_the_rest_is_malformed() -> None:
    assert not fits(AUTH, False, (EAP, PROOF))
    assert not fits(AUTH, False, (EAP, SA_ESP, TS_I, TS_R))
    assert not fits(AUTH, True, (EAP, SA_ESP, TS_I, TS_R))
    assert not fits(AUTH, False, (ID_I, EAP))
    assert not fits(AUTH, False, ())


def test_a_cookie_or_a_wanted_group_answers_an_init_request() -> None:
    check(INIT, True, (Notify(NotifyType.COOKIE, b"c" * 64),))
    check(INIT, True, (Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x1f"),))
    check(INIT, False, (Notify(NotifyType.COOKIE, b"c"), SA_INIT, KE, NONCE))


@pytest.mark.parametrize(
    "notify",
    [
        Notify(NotifyType.COOKIE),
        Notify(NotifyType.COOKIE, bytes(65)),
        Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0"),
        Notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\0\0"),
        Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(19)),
        Notify(NotifyType.NAT_DETECTION_DESTINATION_IP, bytes(21)),
        Notify(NotifyType.SET_WINDOW_SIZE, bytes(3)),
        Notify(NotifyType.REKEY_SA),
        Notify(NotifyType.REKEY_SA, b"", SecurityProtocol.ESP, bytes(8)),
        Notify(NotifyType.REKEY_SA, b"", SecurityProtocol.IKE, bytes(4)),
    ],
)
def test_a_notify_whose_content_cannot_be_is_malformed(notify: Notify) -> None:
    assert not fits(INFO, False, (notify,))


def test_notifies_that_mean_nothing_twice_stand_once() -> None:
    for notify in (Notify(NotifyType.COOKIE, b"c"), REKEY):
        check(INFO, False, (notify,))
        assert not fits(INFO, False, (notify, notify))
    source = Notify(NotifyType.NAT_DETECTION_SOURCE_IP, bytes(20))
    check(INIT, False, (SA_INIT, KE, NONCE, source, source))


@pytest.mark.parametrize(
    ("exchange", "is_response", "payloads"),
    [
        (INIT, False, (SA_IKE, KE, NONCE)),
        (INIT, False, (SA_ESP, KE, NONCE)),
        (INIT, False, (association(IKE_OFFER, ESP_OFFER), KE, NONCE)),
        (INIT, True, (association(IKE_OFFER, IKE_OFFER), KE, NONCE)),
        (AUTH, False, (ID_I, PROOF, SA_IKE, TS_I, TS_R)),
        (AUTH, False, (ID_I, PROOF, association(ESP_OFFER.with_spi(b"", 1)), TS_I, TS_R)),
        (AUTH, False, (ID_I, PROOF, association(ESP_OFFER.with_spi(bytes(8), 1)), TS_I, TS_R)),
        (CREATE, False, (SA_INIT, NONCE, KE)),
        (CREATE, False, (SA_IKE, NONCE)),
        (CREATE, False, (SA_IKE, NONCE, KE, TS_I, TS_R)),
        (CREATE, False, (association(*SA_IKE.proposals, ESP_OFFER), NONCE, KE)),
        (CREATE, False, (SA_ESP, NONCE, KE)),
        (CREATE, True, (association(ESP_OFFER, ESP_OFFER), NONCE, TS_I, TS_R)),
    ],
)
def test_proposals_fit_their_exchange(
    exchange: int, is_response: bool, payloads: tuple[Payload, ...]
) -> None:
    """RFC 7296 §3.3.1: no SPI in IKE_SA_INIT, later eight octets for IKE and four for ESP."""
    assert not fits(exchange, is_response, payloads)


def test_an_offer_may_have_several_proposals() -> None:
    check(INIT, False, (association(IKE_OFFER, IKE_OFFER.with_spi(b"", 2)), KE, NONCE))


@pytest.mark.parametrize("exchange", [0, 2, 33, 38, 43, 44, 240, 255])
def test_an_exchange_without_rules_is_malformed(exchange: int) -> None:
    assert not fits(exchange, False, ())


def test_a_closed_payload_is_no_content() -> None:
    assert not fits(INFO, False, (Encrypted(0, bytes(40)),))
