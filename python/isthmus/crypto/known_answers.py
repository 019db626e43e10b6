"""Fixed inputs and right answers for the start-up self-test.

The ciphers' answers come from an implementation that passes every case of tests/vectors; the
curves' from RFC 5903 §8, RFC 8031 appendix A and RFC 7748 §6.2.
"""

from dataclasses import dataclass

from isthmus.values.registry.ikev2 import Encr, Integ, KeMethod, Prf

KEY = bytes(range(1, 65))
"""Keys are cut from its front, salts included."""
IV = bytes(range(0xA0, 0xB0))
PLAINTEXT = bytes(range(0x50, 0x60))
DATA = bytes((*range(0xC0, 0xE0), 1, 2, 3))
"""Additional authenticated data, or what a MAC is taken of: not a whole number of blocks."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two private values and what both sides must get."""

    private_i: bytes
    private_r: bytes
    shared: bytes


_GCM = {
    128: bytes.fromhex("3439b2342c2caae0c32e02bef67e695d6a22fbf493617ad0c18eeaf355cee507"),
    192: bytes.fromhex("bb8ff51caf95de370c7c86347f9c5b445b13446dbaea99dff50ea20d23a2fbb3"),
    256: bytes.fromhex("c8740adff74f247cc95ca4124825ebd1d9f474269f3e48fd8e65a280368fc8b1"),
}

ENCRYPTION = {
    (Encr.TRIPLE_DES, 0): bytes.fromhex("ebef58813a5b921728fae0d03c71e335"),
    (Encr.AES_CBC, 128): bytes.fromhex("763d6074c1fc092a825a3747518ae28f"),
    (Encr.AES_CBC, 192): bytes.fromhex("8b2a2747b17dfeeaf0f863bf19163cfc"),
    (Encr.AES_CBC, 256): bytes.fromhex("89217b0d1c999c2e46d255faa83255f7"),
    (Encr.AES_CTR, 128): bytes.fromhex("34177edca48a15de9360049ffe8ce25c"),
    (Encr.AES_CTR, 192): bytes.fromhex("b087e057c8ff297a04952b290c2e30c7"),
    (Encr.AES_CTR, 256): bytes.fromhex("7f11932671b69c6f4b0175976fe0dc50"),
    (Encr.AES_CCM_8, 128): bytes.fromhex("fdd9521b25413f23142c240d6e9805e290fac9d3af5baf01"),
    (Encr.AES_CCM_8, 192): bytes.fromhex("3884bf3fab2c0a2c374c3709052854112c103fdb02262242"),
    (Encr.AES_CCM_8, 256): bytes.fromhex("7dae53bec126185959e5f35156da7907d7d45a0fddae961a"),
    (Encr.AES_CCM_12, 128): bytes.fromhex(
        "fdd9521b25413f23142c240d6e9805e27b03e6813234ac949205ad3e"
    ),
    (Encr.AES_CCM_12, 192): bytes.fromhex(
        "3884bf3fab2c0a2c374c37090528541192899d3d7bd27ab532eb1670"
    ),
    (Encr.AES_CCM_12, 256): bytes.fromhex(
        "7dae53bec126185959e5f35156da79073c04b97b2aee89431f4bcb9d"
    ),
    (Encr.AES_CCM_16, 128): bytes.fromhex(
        "fdd9521b25413f23142c240d6e9805e2ea01baee9e2a3a5984c74406a1937028"
    ),
    (Encr.AES_CCM_16, 192): bytes.fromhex(
        "3884bf3fab2c0a2c374c3709052854113c236d6580b97625dbf5ff07d9307c49"
    ),
    (Encr.AES_CCM_16, 256): bytes.fromhex(
        "7dae53bec126185959e5f35156da7907e541f44abed5fbaca4e814b41050b6b4"
    ),
    (Encr.CHACHA20_POLY1305, 0): bytes.fromhex(
        "040b20cde6e989457c8ccea4f02b957e3d953f9a62149f4ea53fc9d65d83c41f"
    ),
    # A short tag of GCM is the front of the long one (NIST SP 800-38D §7.1); CCM's is not.
    **{(Encr.AES_GCM_8, bits): answer[:-8] for bits, answer in _GCM.items()},
    **{(Encr.AES_GCM_12, bits): answer[:-4] for bits, answer in _GCM.items()},
    **{(Encr.AES_GCM_16, bits): answer for bits, answer in _GCM.items()},
}
"""By cipher and key length: `PLAINTEXT` sealed; an AEAD authenticates `DATA` and adds its tag."""

INTEGRITY = {
    Integ.HMAC_MD5_96: bytes.fromhex("efa9e2ee99231dcf7ab7092c"),
    Integ.HMAC_SHA1_96: bytes.fromhex("8ba60a838ba0e883eceb300b"),
    Integ.AES_XCBC_96: bytes.fromhex("f520bd471106f69100f37b9b"),
    Integ.AES_CMAC_96: bytes.fromhex("33d19a60894b5f3534b70a60"),
    Integ.HMAC_SHA2_256_128: bytes.fromhex("1c4c492ab04bb812750b4b89f7ba84de"),
    Integ.HMAC_SHA2_384_192: bytes.fromhex("344ef66a0a07ad20e45aa061f576dc7acd28989eed2a5aa9"),
    Integ.HMAC_SHA2_512_256: bytes.fromhex(
        "56738e9076cedd3ca71d19b821cc504400a6bac3f3e0360127d1e22479d497fd"
    ),
}

PRF = {
    Prf.HMAC_MD5: bytes.fromhex("590257feae5da309336c2510bd6bed5b"),
    Prf.HMAC_SHA1: bytes.fromhex("dcc25773e6b8a11a77b62cf7e3c50314aa99c191"),
    Prf.AES128_XCBC: bytes.fromhex("2e4ecf538740104ad81792661a7ff463"),
    Prf.HMAC_SHA2_256: bytes.fromhex(
        "925aafa293b81a2da600c8793119837765909374b09b9bf72cbefac9252e0158"
    ),
    Prf.HMAC_SHA2_384: bytes.fromhex(
        "b9bdabf129e7c4a6665d3c28fd1119cf9de91fcd38c1f62d560662bdb5f6b757"
        "b547e21b22ec3177b9708ff1abde1655"
    ),
    Prf.HMAC_SHA2_512: bytes.fromhex(
        "fedfe1df039f85dc98d4195ac1bfd96d0a939a3c6887407bd7aaefef315d48a3"
        "59b82391f05e10d7b10915eba19c0eb57a4f5725cd58ae62c9b2bec6b3f52689"
    ),
    Prf.AES128_CMAC: bytes.fromhex("34d81c0ac33f98f6d79f183eb5da4ef6"),
}
"""The key is 24 octets, so that the AES PRFs shorten it first."""

AGREEMENT = {
    KeMethod.ECP_256: Agreement(
        bytes.fromhex("c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433"),
        bytes.fromhex("c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53"),
        bytes.fromhex("d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de"),
    ),
    KeMethod.ECP_384: Agreement(
        bytes.fromhex(
            "099f3c7034d4a2c699884d73a375a67f7624ef7c6b3c0f160647b67414dce655"
            "e35b538041e649ee3faef896783ab194"
        ),
        bytes.fromhex(
            "41cb0779b4bdb85d47846725fbec3c9430fab46cc8dc5060855cc9bda0aa2942"
            "e0308312916b8ed2960e4bd55a7448fc"
        ),
        bytes.fromhex(
            "11187331c279962d93d604243fd592cb9d0a926f422e47187521287e7156c5c4"
            "d603135569b9e9d09cf5d4a270f59746"
        ),
    ),
    KeMethod.ECP_521: Agreement(
        bytes.fromhex(
            "0037ade9319a89f4dabdb3ef411aaccca5123c61acab57b5393dce47608172a0"
            "95aa85a30fe1c2952c6771d937ba9777f5957b2639bab072462f68c27a57382d"
            "4a52"
        ),
        bytes.fromhex(
            "0145ba99a847af43793fdd0e872e7cdfa16be30fdc780f97bccc3f078380201e"
            "9c677d600b343757a3bdbf2a3163e4c2f869cca7458aa4a4effc311f5cb15168"
            "5eb9"
        ),
        bytes.fromhex(
            "01144c7d79ae6956bc8edb8e7c787c4521cb086fa64407f97894e5e6b2d79b04"
            "d1427e73ca4baa240a34786859810c06b3c715a3a8cc3151f2bee417996d19f3"
            "ddea"
        ),
    ),
    KeMethod.CURVE25519: Agreement(
        bytes.fromhex("701fb4308655b476b6789b7325f9ea8cddd16a58533ff6d9e60009464a5f9d54"),
        bytes.fromhex("0854645253290d60ddadd0e030bacd9e5501efdc220755a1e978f1b839a05648"),
        bytes.fromhex("c74950607a12327f3204d94b6825bfb068b7f8319a9e3708ed3d43ce8130c950"),
    ),
    KeMethod.CURVE448: Agreement(
        bytes.fromhex(
            "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf5"
            "74a9419744897391006382a6f127ab1d9ac2d8c0a598726b"
        ),
        bytes.fromhex(
            "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d6927c120"
            "bb5ee8972b0d3e21374c9c921b09d1b0366f10b65173992d"
        ),
        bytes.fromhex(
            "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56"
            "fd2464c335543936521c24403085d59a449a5037514a879d"
        ),
    ),
}
