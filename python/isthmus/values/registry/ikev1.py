"""IKEv1 registries (RFC 2407, RFC 2408, RFC 2409 and IANA's "Internet Key Exchange (IKE)
Attributes" and "ISAKMP Registry").

Read open registries through `known` and `label` of the IKEv2 registry.
"""

from enum import IntEnum, IntFlag


class PayloadType(IntEnum):
    """RFC 2408 §3.1, RFC 3947 §6; those from 128 on are private use that peers agree on."""

    NONE = 0
    SA = 1
    PROPOSAL = 2
    TRANSFORM = 3
    KE = 4
    ID = 5
    CERT = 6
    CR = 7
    HASH = 8
    SIG = 9
    NONCE = 10
    NOTIFY = 11
    DELETE = 12
    VENDOR_ID = 13
    ATTRIBUTES = 14
    NAT_D = 20
    NAT_OA = 21
    NAT_D_DRAFT = 130
    NAT_OA_DRAFT = 131
    FRAGMENT = 132


FIRST_PRIVATE_PAYLOAD = 128
"""Payload types from here on are private use (RFC 2408 §3.1)."""


class ExchangeType(IntEnum):
    """RFC 2408 §3.1, RFC 2409 appendix A."""

    MAIN_MODE = 2
    AGGRESSIVE_MODE = 4
    INFORMATIONAL = 5
    TRANSACTION = 6
    QUICK_MODE = 32
    NEW_GROUP = 33


class Flag(IntFlag):
    """RFC 2408 §3.1."""

    NONE = 0
    ENCRYPTION = 1
    COMMIT = 2
    AUTHENTICATION_ONLY = 4


class Doi(IntEnum):
    """Domains of interpretation (RFC 2408 §3.4, RFC 2407 §4.2)."""

    ISAKMP = 0
    IPSEC = 1


class Situation(IntFlag):
    """RFC 2407 §4.2."""

    IDENTITY_ONLY = 1
    SECRECY = 2
    INTEGRITY = 4


class ProtocolId(IntEnum):
    """RFC 2407 §4.4.1."""

    NONE = 0
    ISAKMP = 1
    AH = 2
    ESP = 3
    IPCOMP = 4


class NotifyType(IntEnum):
    """RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.2; errors lie below 16384."""

    INVALID_PAYLOAD_TYPE = 1
    DOI_NOT_SUPPORTED = 2
    SITUATION_NOT_SUPPORTED = 3
    INVALID_COOKIE = 4
    INVALID_MAJOR_VERSION = 5
    INVALID_MINOR_VERSION = 6
    INVALID_EXCHANGE_TYPE = 7
    INVALID_FLAGS = 8
    INVALID_MESSAGE_ID = 9
    INVALID_PROTOCOL_ID = 10
    INVALID_SPI = 11
    INVALID_TRANSFORM_ID = 12
    ATTRIBUTES_NOT_SUPPORTED = 13
    NO_PROPOSAL_CHOSEN = 14
    BAD_PROPOSAL_SYNTAX = 15
    PAYLOAD_MALFORMED = 16
    INVALID_KEY_INFORMATION = 17
    INVALID_ID_INFORMATION = 18
    INVALID_CERT_ENCODING = 19
    INVALID_CERTIFICATE = 20
    CERT_TYPE_UNSUPPORTED = 21
    INVALID_CERT_AUTHORITY = 22
    INVALID_HASH_INFORMATION = 23
    AUTHENTICATION_FAILED = 24
    INVALID_SIGNATURE = 25
    ADDRESS_NOTIFICATION = 26
    NOTIFY_SA_LIFETIME = 27
    CERTIFICATE_UNAVAILABLE = 28
    UNSUPPORTED_EXCHANGE_TYPE = 29
    UNEQUAL_PAYLOAD_LENGTHS = 30
    CONNECTED = 16384
    RESPONDER_LIFETIME = 24576
    REPLAY_STATUS = 24577
    INITIAL_CONTACT = 24578
    R_U_THERE = 36136
    R_U_THERE_ACK = 36137

    @property
    def is_error(self) -> bool:
        """Error types lie below 16384 (RFC 2408 §3.14.1)."""
        return self < FIRST_STATUS_TYPE


FIRST_STATUS_TYPE = 16384


class Phase1Attribute(IntEnum):
    """Attribute classes of phase 1 (RFC 2409 appendix A)."""

    ENCRYPTION_ALGORITHM = 1
    HASH_ALGORITHM = 2
    AUTHENTICATION_METHOD = 3
    GROUP_DESCRIPTION = 4
    GROUP_TYPE = 5
    GROUP_PRIME = 6
    GROUP_GENERATOR_1 = 7
    GROUP_GENERATOR_2 = 8
    GROUP_CURVE_A = 9
    GROUP_CURVE_B = 10
    LIFE_TYPE = 11
    LIFE_DURATION = 12
    PRF = 13
    KEY_LENGTH = 14
    FIELD_SIZE = 15
    GROUP_ORDER = 16


class Phase2Attribute(IntEnum):
    """Attribute classes of phase 2 (RFC 2407 §4.5, RFC 4304 §2)."""

    LIFE_TYPE = 1
    LIFE_DURATION = 2
    GROUP_DESCRIPTION = 3
    ENCAPSULATION_MODE = 4
    AUTHENTICATION_ALGORITHM = 5
    KEY_LENGTH = 6
    KEY_ROUNDS = 7
    COMPRESS_DICTIONARY_SIZE = 8
    COMPRESS_PRIVATE_ALGORITHM = 9
    ECN_TUNNEL = 10
    EXTENDED_SEQUENCE_NUMBER = 11


class LifeType(IntEnum):
    """RFC 2409 appendix A, RFC 2407 §4.5."""

    SECONDS = 1
    KILOBYTES = 2


class EncapsulationMode(IntEnum):
    """RFC 2407 §4.5, RFC 3947 §5.1, and what its drafts had in their place."""

    TUNNEL = 1
    TRANSPORT = 2
    UDP_TUNNEL = 3
    UDP_TRANSPORT = 4
    UDP_TUNNEL_DRAFT = 61443
    UDP_TRANSPORT_DRAFT = 61444


class AuthenticationMethod(IntEnum):
    """RFC 2409 appendix A, RFC 4754 §3, draft-ietf-ipsec-isakmp-xauth and -hybrid-auth.

    INITIATOR and RESPONDER say which side is asked for a user name and password.
    """

    PSK = 1
    DSS = 2
    RSA_SIG = 3
    RSA_ENC = 4
    RSA_REV_ENC = 5
    ECDSA_256 = 9
    ECDSA_384 = 10
    ECDSA_521 = 11
    HYBRID_INITIATOR_RSA = 64221
    HYBRID_RESPONDER_RSA = 64222
    XAUTH_INITIATOR_PSK = 65001
    XAUTH_RESPONDER_PSK = 65002
    XAUTH_INITIATOR_DSS = 65003
    XAUTH_RESPONDER_DSS = 65004
    XAUTH_INITIATOR_RSA = 65005
    XAUTH_RESPONDER_RSA = 65006


class Hash(IntEnum):
    """Hash algorithms of phase 1 (RFC 2409 appendix A, RFC 4868 §4)."""

    MD5 = 1
    SHA1 = 2
    SHA2_256 = 4
    SHA2_384 = 5
    SHA2_512 = 6


class Cipher(IntEnum):
    """Encryption algorithms of phase 1 (RFC 2409 appendix A, RFC 3602 §5)."""

    DES = 1
    TRIPLE_DES = 5
    AES_CBC = 7


KEY_IKE = 1
"""The one transform ID of a phase 1 proposal (RFC 2407 §4.4.2)."""


class EspTransform(IntEnum):
    """RFC 2407 §4.4.4, RFC 3602, RFC 3686, RFC 4106, RFC 4309."""

    DES = 2
    TRIPLE_DES = 3
    NULL = 11
    AES_CBC = 12
    AES_CTR = 13
    AES_CCM_8 = 14
    AES_CCM_12 = 15
    AES_CCM_16 = 16
    AES_GCM_8 = 18
    AES_GCM_12 = 19
    AES_GCM_16 = 20


class AuthAlgorithm(IntEnum):
    """Authentication algorithms of phase 2 (RFC 2407 §4.5, RFC 4868 §4, RFC 3566)."""

    HMAC_MD5 = 1
    HMAC_SHA1 = 2
    HMAC_SHA2_256 = 5
    HMAC_SHA2_384 = 6
    HMAC_SHA2_512 = 7
    AES_XCBC = 9


class IdType(IntEnum):
    """RFC 2407 §4.6.2."""

    IPV4_ADDR = 1
    FQDN = 2
    USER_FQDN = 3
    IPV4_ADDR_SUBNET = 4
    IPV6_ADDR = 5
    IPV6_ADDR_SUBNET = 6
    IPV4_ADDR_RANGE = 7
    IPV6_ADDR_RANGE = 8
    DER_ASN1_DN = 9
    DER_ASN1_GN = 10
    KEY_ID = 11


class CertEncoding(IntEnum):
    """RFC 2408 §3.9."""

    NONE = 0
    PKCS7_X509 = 1
    X509_SIGNATURE = 4
    X509_KEY_EXCHANGE = 5
    CRL = 7


class ConfigType(IntEnum):
    """Kinds of an Attributes payload (draft-ietf-ipsec-isakmp-mode-cfg-05 §3.2)."""

    REQUEST = 1
    REPLY = 2
    SET = 3
    ACK = 4


class ConfigAttribute(IntEnum):
    """What Mode Config asks and gives (draft-ietf-ipsec-isakmp-mode-cfg-05 §3.4)."""

    INTERNAL_IP4_ADDRESS = 1
    INTERNAL_IP4_NETMASK = 2
    INTERNAL_IP4_DNS = 3
    INTERNAL_IP4_NBNS = 4
    INTERNAL_ADDRESS_EXPIRY = 5
    INTERNAL_IP4_DHCP = 6
    APPLICATION_VERSION = 7
    INTERNAL_IP6_ADDRESS = 8
    INTERNAL_IP6_NETMASK = 9
    INTERNAL_IP6_DNS = 10
    INTERNAL_IP6_NBNS = 11
    INTERNAL_IP6_DHCP = 12
    INTERNAL_IP4_SUBNET = 13
    SUPPORTED_ATTRIBUTES = 14
    INTERNAL_IP6_SUBNET = 15
    UNITY_BANNER = 28672
    UNITY_SAVE_PASSWORD = 28673
    UNITY_DEF_DOMAIN = 28674
    UNITY_SPLITDNS_NAME = 28675
    UNITY_SPLIT_INCLUDE = 28676
    UNITY_NATT_PORT = 28677
    UNITY_LOCAL_LAN = 28678
    UNITY_PFS = 28679


class XauthAttribute(IntEnum):
    """draft-ietf-ipsec-isakmp-xauth-06 §4."""

    TYPE = 16520
    USER_NAME = 16521
    USER_PASSWORD = 16522
    PASSCODE = 16523
    MESSAGE = 16524
    CHALLENGE = 16525
    DOMAIN = 16526
    STATUS = 16527
    NEXT_PIN = 16528
    ANSWER = 16529


class XauthType(IntEnum):
    """draft-ietf-ipsec-isakmp-xauth-06 §6.2."""

    GENERIC = 0
    RADIUS_CHAP = 1
    OTP = 2
    S_KEY = 3


class XauthStatus(IntEnum):
    """draft-ietf-ipsec-isakmp-xauth-06 §6.2."""

    FAIL = 0
    OK = 1
