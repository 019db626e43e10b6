"""What XAUTH's payloads say: both roles, and what a peer may get wrong."""

import pytest

from isthmus.credentials.xauth import PASSWORD_OCTETS_MAX, Users, hashed
from isthmus.crypto.entropy import SeededEntropy
from isthmus.ike.auth import judging
from isthmus.ike.core.effects import CheckLogin
from isthmus.ike.v1 import xauth
from isthmus.ike.v1.xauth import Claim, Question
from isthmus.values.errors import NotAuthenticated, PeerMisbehaved, ProtocolError
from isthmus.values.registry.ikev1 import ConfigAttribute, ConfigType, XauthAttribute, XauthType
from isthmus.values.secret import Secret
from isthmus.wire.v1.attributes import Attribute
from isthmus.wire.v1.configuration import Attributes

X = XauthAttribute
PASSWORD = Secret(b"a password of bob")
ASKED = xauth.question(7)


def request(*attributes: Attribute) -> Attributes:
    return Attributes(ConfigType.REQUEST, 7, attributes)


def reply(*attributes: Attribute) -> Attributes:
    return Attributes(ConfigType.REPLY, 7, attributes)


def asked(*kinds: XauthAttribute) -> tuple[Attribute, ...]:
    return tuple(Attribute(kind, b"") for kind in kinds)


def test_both_roles_understand_each_other() -> None:
    answer = xauth.answer(ASKED, "bob", PASSWORD)
    assert xauth.read_answer(answer) == Claim("bob", PASSWORD)
    for admitted in (True, False):
        told = xauth.verdict(8, admitted)
        assert xauth.read_verdict(told).admitted is admitted
        done = xauth.confirmation(told)
        assert (done.kind, done.identifier) == (ConfigType.ACK, 8)
        assert done.attributes == (Attribute(X.STATUS, b""),)


@pytest.mark.parametrize(
    ("attributes", "read"),
    [
        (asked(X.USER_NAME, X.USER_PASSWORD), Question(True, True, False)),
        (asked(X.USER_PASSWORD), Question(False, True, False)),
        (asked(X.TYPE, X.USER_NAME, X.USER_PASSWORD), Question(True, True, True)),
        (
            (Attribute(X.TYPE, XauthType.GENERIC), *asked(X.USER_NAME, X.USER_PASSWORD)),
            Question(True, True, True),
        ),
        (
            (Attribute(X.TYPE, b"\0\0"), *asked(X.USER_NAME, X.PASSCODE, X.USER_PASSWORD)),
            Question(True, True, True),
        ),
        (
            (*asked(X.USER_NAME, X.DOMAIN), Attribute(X.MESSAGE, b"Say\r\nwho\x1b[2J")),
            Question(True, False, False, "Say\\x0d\\x0awho\\x1b[2J"),
        ),
    ],
)
def test_a_question_may_be_asked_in_several_ways(
    attributes: tuple[Attribute, ...], read: Question
) -> None:
    question = request(*attributes, Attribute(ConfigAttribute.UNITY_BANNER, b"welcome"))
    assert xauth.read_question(question) == read
    answer = xauth.answer(question, "bob", PASSWORD)
    kinds = [each.kind for each in answer.attributes]
    wanted = ((read.typed, X.TYPE), (read.name, X.USER_NAME), (read.password, X.USER_PASSWORD))
    assert kinds == [kind for is_wanted, kind in wanted if is_wanted]
    assert (answer.kind, answer.identifier) == (ConfigType.REPLY, 7)


def test_a_message_is_bounded() -> None:
    question = request(*asked(X.USER_NAME), Attribute(X.MESSAGE, b"\xff" * 60_000))
    assert len(xauth.read_question(question).message) <= 4 * 256


@pytest.mark.parametrize(
    "attributes",
    [
        (Attribute(X.TYPE, XauthType.OTP), *asked(X.USER_NAME, X.USER_PASSWORD)),
        (Attribute(X.TYPE, 4711), *asked(X.USER_NAME, X.USER_PASSWORD)),
        asked(X.USER_NAME, X.PASSCODE),
        asked(X.USER_NAME, X.NEXT_PIN),
        (*asked(X.USER_NAME), Attribute(X.CHALLENGE, b"12345678")),
        asked(X.MESSAGE),
        (),
    ],
)
def test_what_a_name_and_a_password_are_no_answer_to_is_refused(
    attributes: tuple[Attribute, ...],
) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        xauth.answer(request(*attributes), "bob", PASSWORD)
    assert refused.value.code == "E171"
    answer = xauth.refusal(request(*attributes))
    assert answer.attributes == (Attribute(X.STATUS, 0),)
    with pytest.raises(NotAuthenticated, match="cannot log in"):
        xauth.read_answer(answer)


def login(name: bytes, password: bytes) -> Attributes:
    return reply(Attribute(X.USER_NAME, name), Attribute(X.USER_PASSWORD, password))


@pytest.mark.parametrize(
    "answer",
    [
        reply(),
        reply(Attribute(X.USER_NAME, b"bob")),
        reply(Attribute(X.USER_PASSWORD, b"p")),
        login(b"", b"p"),
        login(b"bob", b""),
        login(b"bob:", b"p"),
        login(b"b\nob", b"p"),
        login(b"\xff\xfe", b"p"),
        login(b"b" * 129, b"p"),
        login(b"bob", b"p" * (PASSWORD_OCTETS_MAX + 1)),
    ],
)
def test_an_answer_of_no_possible_user_is_refused_before_any_password_is_tried(
    answer: Attributes,
) -> None:
    with pytest.raises(NotAuthenticated) as refused:
        xauth.read_answer(answer)
    assert refused.value.code == "E170"
    assert refused.value.reason.isprintable() and len(refused.value.reason) < 1200


def test_a_nul_behind_a_name_or_a_password_is_not_part_of_it() -> None:
    read = xauth.read_answer(login(b"bob\0", PASSWORD.reveal() + b"\0"))
    assert read == Claim("bob", PASSWORD)


@pytest.mark.parametrize(
    "answer",
    [
        Attributes(ConfigType.REQUEST, 7, login(b"bob", b"p").attributes),
        Attributes(ConfigType.ACK, 7, login(b"bob", b"p").attributes),
        Attributes(99, 7, login(b"bob", b"p").attributes),
        reply(*login(b"bob", b"p").attributes, Attribute(X.USER_NAME, b"eve")),
    ],
)
def test_what_is_no_answer_or_has_two_names_is_none(answer: Attributes) -> None:
    with pytest.raises(PeerMisbehaved):
        xauth.read_answer(answer)


@pytest.mark.parametrize("value", [0, 2, 0xFFFF, b"\0", b"\0\0\0\0", b"\2", b"\1\1"])
def test_only_an_ok_is_an_ok(value: int | bytes) -> None:
    told = Attributes(ConfigType.SET, 1, (Attribute(X.STATUS, value),))
    assert xauth.read_verdict(told).admitted is False


@pytest.mark.parametrize(
    "told",
    [
        Attributes(ConfigType.SET, 1),
        Attributes(ConfigType.SET, 1, (Attribute(X.MESSAGE, b"OK"),)),
        Attributes(ConfigType.SET, 1, (Attribute(X.STATUS, b""),)),
        Attributes(ConfigType.SET, 1, (Attribute(X.STATUS, bytes(9)),)),
        Attributes(ConfigType.SET, 1, (Attribute(X.STATUS, 1), Attribute(X.STATUS, 0))),
        Attributes(ConfigType.REPLY, 1, (Attribute(X.STATUS, 1),)),
        Attributes(ConfigType.ACK, 1, (Attribute(X.STATUS, 1),)),
    ],
)
def test_a_verdict_that_says_nothing_admits_nobody(told: Attributes) -> None:
    with pytest.raises(PeerMisbehaved):
        xauth.read_verdict(told)


def test_a_password_shows_nowhere() -> None:
    answer = xauth.answer(ASKED, "bob", PASSWORD)
    job = CheckLogin(Users({}), "bob", PASSWORD)
    for shown in (answer, xauth.read_answer(answer), job):
        assert "a password" not in repr(shown) and PASSWORD.reveal().hex() not in repr(shown)


def test_a_job_says_whether_it_is_the_users_password() -> None:
    users = Users({"bob": hashed(PASSWORD, SeededEntropy(1))})
    right = judging.answer(3, CheckLogin(users, "bob", PASSWORD), 0)
    assert (right.ticket, right.result) == (3, (b"bob",))
    for name, password in (("bob", Secret(b"another")), ("eve", PASSWORD)):
        wrong = judging.answer(3, CheckLogin(users, name, password), 0)
        assert wrong.result is None and wrong.code == "E170"
        assert wrong.failure == f"{name} is no user here, or has another password"


def test_payloads_of_xauth_and_of_mode_config_are_told_apart() -> None:
    assert xauth.is_xauth(ASKED) and xauth.is_xauth(xauth.verdict(1, admitted=False))
    address = Attribute(ConfigAttribute.INTERNAL_IP4_ADDRESS, b"")
    assert not xauth.is_xauth(request(address)) and not xauth.is_xauth(request())


def test_every_refusal_names_no_notify_that_version_one_has_not() -> None:
    with pytest.raises(ProtocolError) as refused:
        xauth.read_question(reply())
    assert refused.value.notify is None
