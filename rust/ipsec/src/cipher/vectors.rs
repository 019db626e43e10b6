//! The primitives against published vectors: RFC 2202, RFC 3602, RFC 3686, NIST and Wycheproof.

use serde_json::Value;

use super::aead::Aead;
use super::block::Aes;
use super::mac::Mac;
use super::triple_des::TripleDes;
use super::{encr, integ, Suite};

fn load(name: &str) -> Value {
    let path = format!("{}/../../tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

/// Calls `test` with each group and test of a Wycheproof file that `wanted` keeps; says how many.
fn wycheproof(
    name: &str,
    wanted: impl Fn(&Value) -> bool,
    mut test: impl FnMut(&Value, bool),
) -> usize {
    let file = load(&format!("wycheproof/{name}_test.json"));
    let mut count = 0;
    for group in file["testGroups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|group| wanted(group))
    {
        for case in group["tests"].as_array().unwrap() {
            let valid = match case["result"].as_str().unwrap() {
                "valid" => true,
                "invalid" => false,
                _ => continue,
            };
            test(case, valid);
            count += 1;
        }
    }
    count
}

/// One AEAD case, with ICVs of all the lengths that its transforms have.
fn aead_case(transforms: &[(u16, usize)], key_bits: u16, salt: usize, case: &Value, valid: bool) {
    let (key, nonce, aad) = (hex(&case["key"]), hex(&case["iv"]), hex(&case["aad"]));
    let (message, sealed, tag) = (hex(&case["msg"]), hex(&case["ct"]), hex(&case["tag"]));
    let (salt, iv) = nonce.split_at(salt);
    for &(encr, icv_length) in transforms {
        let suite = Suite::new(encr, key_bits, integ::NONE).unwrap();
        let aead = Aead::new(&suite, &key, salt).unwrap();
        if valid {
            let (mut body, mut icv) = (message.clone(), vec![0; icv_length]);
            aead.seal(&aad, iv, &mut body, &mut icv).unwrap();
            assert_eq!((&body, &icv[..]), (&sealed, &tag[..icv_length]), "{case}");
        }
        let mut body = sealed.clone();
        let opened = aead.open(&aad, iv, &mut body, &tag[..icv_length]);
        // A cut tag cannot tell changes in the octets that were cut off.
        if icv_length == tag.len() || valid {
            assert_eq!(opened.is_ok(), valid, "{case}");
        }
        if opened.is_ok() {
            assert_eq!(body, message, "{case}");
        }
        let mut wrong = tag[..icv_length].to_vec();
        wrong[icv_length - 1] ^= 1;
        if valid {
            assert!(
                aead.open(&aad, iv, &mut sealed.clone(), &wrong).is_err(),
                "{case}"
            );
        }
    }
}

fn key_bits(group: &Value) -> u16 {
    group["keySize"].as_u64().unwrap() as u16
}

#[test]
fn aes_gcm_agrees_with_wycheproof_also_with_cut_tags() {
    let transforms = [
        (encr::AES_GCM_16, 16),
        (encr::AES_GCM_12, 12),
        (encr::AES_GCM_8, 8),
    ];
    let mut count = 0;
    for bits in [128, 192, 256] {
        let wanted = |g: &Value| g["ivSize"] == 96 && key_bits(g) == bits;
        count += wycheproof("aes_gcm", wanted, |case, valid| {
            aead_case(&transforms, bits, 4, case, valid);
        });
    }
    assert_eq!(count, 67 + 64 + 66);
}

#[test]
fn aes_ccm_agrees_with_wycheproof() {
    let mut count = 0;
    for bits in [128, 192, 256] {
        let wanted = |g: &Value| g["ivSize"] == 88 && key_bits(g) == bits && g["tagSize"] == 128;
        count += wycheproof("aes_ccm", wanted, |case, valid| {
            aead_case(&[(encr::AES_CCM_16, 16)], bits, 3, case, valid);
        });
    }
    assert_eq!(count, 18);
}

#[test]
fn chacha20_poly1305_agrees_with_wycheproof() {
    let wanted = |g: &Value| g["ivSize"] == 96;
    let count = wycheproof("chacha20_poly1305", wanted, |case, valid| {
        aead_case(&[(encr::CHACHA20_POLY1305, 16)], 256, 4, case, valid);
    });
    assert_eq!(count, 316);
}

#[test]
fn hmac_agrees_with_wycheproof_after_truncation() {
    for (file, integ, icv_length, bits) in [
        ("hmac_sha1", integ::HMAC_SHA1_96, 12, 160),
        ("hmac_sha256", integ::HMAC_SHA2_256_128, 16, 256),
        ("hmac_sha384", integ::HMAC_SHA2_384_192, 24, 384),
        ("hmac_sha512", integ::HMAC_SHA2_512_256, 32, 512),
    ] {
        let wanted = |g: &Value| {
            u64::from(key_bits(g)) == bits && g["tagSize"].as_u64().unwrap() >= icv_length * 8
        };
        let count = wycheproof(file, wanted, |case, valid| {
            let mut icv = vec![0; icv_length as usize];
            let mac = Mac::new(integ, &hex(&case["key"])).unwrap();
            mac.write(&hex(&case["msg"]), None, &mut icv);
            let same = icv == hex(&case["tag"])[..icv.len()];
            // As with AEAD: what was changed beyond the cut is not seen.
            assert!(
                same == valid || hex(&case["tag"]).len() > icv.len(),
                "{case}"
            );
            // The upper half of an ESN is authenticated as if it followed.
            let message = hex(&case["msg"]);
            if let Some((head, tail)) = message.split_last_chunk::<4>() {
                let mut split = vec![0; icv.len()];
                mac.write(head, Some(u32::from_be_bytes(*tail)), &mut split);
                assert_eq!(split, icv);
            }
        });
        assert!(count >= 81, "{file}: {count}");
    }
}

#[test]
fn aes_cmac_agrees_with_wycheproof_after_truncation() {
    let count = wycheproof(
        "aes_cmac",
        |g| key_bits(g) == 128,
        |case, valid| {
            let mut icv = [0; 12];
            Mac::new(integ::AES_CMAC_96, &hex(&case["key"]))
                .unwrap()
                .write(&hex(&case["msg"]), None, &mut icv);
            if valid {
                assert_eq!(icv, hex(&case["tag"])[..12], "{case}");
            }
        },
    );
    assert_eq!(count, 102);
}

#[test]
fn aes_ctr_gives_the_ciphertexts_of_rfc_3686() {
    for case in load("esp/rfc-aes-ctr.json")["tests"].as_array().unwrap() {
        let nonce = hex(&case["nonce"]).try_into().unwrap();
        let mut body = hex(&case["plaintext"]);
        Aes::new(&hex(&case["key"]))
            .unwrap()
            .ctr(nonce, &hex(&case["iv"]), &mut body)
            .unwrap();
        assert_eq!(body, hex(&case["ciphertext"]), "{case}");
    }
}

#[test]
fn aes_cbc_gives_the_packets_of_rfc_3602() {
    let mut count = 0;
    for case in load("esp/rfc-esp.json")["tests"].as_array().unwrap() {
        if case["encr"] != encr::AES_CBC {
            continue;
        }
        let packet = hex(&case["packet"]);
        let (iv, sealed) = packet[8..].split_at(16);
        let aes = Aes::new(&hex(&case["ek"])).unwrap();
        let mut body = sealed.to_vec();
        aes.cbc_decrypt(iv, &mut body).unwrap();
        let payload = hex(&case["payload"]);
        assert_eq!(body[..payload.len()], payload, "{case}");
        assert_eq!(
            *body.last().unwrap(),
            case["next_header"].as_u64().unwrap() as u8
        );
        aes.cbc_encrypt(iv, &mut body).unwrap();
        assert_eq!(body, sealed);
        count += 1;
    }
    assert_eq!(count, 4);
}

#[test]
fn triple_des_cbc_gives_the_ciphertexts_of_nist() {
    let file = load("esp/nist-3des-cbc.json");
    let cases = file["tests"].as_array().unwrap();
    for case in cases {
        let (iv, plain, sealed) = (
            hex(&case["iv"]),
            hex(&case["plaintext"]),
            hex(&case["ciphertext"]),
        );
        let des = TripleDes::new(&hex(&case["key"])).unwrap();
        let mut body = plain.clone();
        des.cbc_encrypt(&iv, &mut body).unwrap();
        assert_eq!(body, sealed, "{case}");
        des.cbc_decrypt(&iv, &mut body).unwrap();
        assert_eq!(body, plain, "{case}");
    }
    assert_eq!(cases.len(), 40);
}

#[test]
fn triple_des_takes_whole_blocks_and_whole_keys_alone() {
    for length in [0, 8, 16, 23, 25] {
        assert!(TripleDes::new(&vec![1; length]).is_err());
    }
    let des = TripleDes::new(&[1; 24]).unwrap();
    for (iv, body) in [(7, 8), (9, 8), (16, 16), (8, 7), (8, 9)] {
        assert!(des.cbc_encrypt(&vec![0; iv], &mut vec![0; body]).is_none());
        assert!(des.cbc_decrypt(&vec![0; iv], &mut vec![0; body]).is_none());
    }
}

#[test]
fn hmac_gives_the_digests_of_rfc_2202_after_truncation() {
    let mut count = 0;
    for case in load("kdf/rfc-hmac.json")["tests"].as_array().unwrap() {
        let arguments = &case["args"];
        // The PRF that the case numbers, as the integrity algorithm of the same hash.
        let integ = match arguments[0].as_u64().unwrap() {
            1 => integ::HMAC_MD5_96,
            2 => integ::HMAC_SHA1_96,
            other => panic!("PRF {other}"),
        };
        let message = hex(&arguments[2]["hex"]);
        let mac = Mac::new(integ, &hex(&arguments[1]["hex"])).unwrap();
        let mut icv = [0; 12];
        mac.write(&message, None, &mut icv);
        assert_eq!(icv, hex(&case["result"])[..12], "{case}");
        // The upper half of an ESN is authenticated as if it followed.
        if let Some((head, tail)) = message.split_last_chunk::<4>() {
            let mut split = [0; 12];
            mac.write(head, Some(u32::from_be_bytes(*tail)), &mut split);
            assert_eq!(split, icv);
        }
        count += 1;
    }
    assert_eq!(count, 14);
}
