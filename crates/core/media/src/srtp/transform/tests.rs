//! Published vectors: RFC 3711 appendix B, RFC 7714 sections 16 and 17.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|b| !b.is_ascii_whitespace())
        .map(|b| (b as char).to_digit(16).unwrap() as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

#[test]
fn counter_mode_as_in_appendix_b2() {
    let cipher = counter_key(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
    let salt: [u8; 14] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let mut stream = [0; 48];
    count(&cipher, counter_iv(&salt, 0, 0), &mut stream);
    let expected = "E03EAD0935C95E80E166B16DD92B4EB4
        D23513162B02D0F72A43A2FE4A5F97AB
        41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(stream.to_vec(), hex(expected));
}

#[test]
fn keys_are_derived_as_in_appendix_b3() {
    let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = SrtpKey::new(SrtpSuite::AesCm128Sha1_80, &master).unwrap();
    let derived = |label, len| {
        let mut key = vec![0; len];
        session_key(&master, label, &mut key);
        key
    };
    assert_eq!(derived(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derived(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    let signature = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
        E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
        6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2";
    assert_eq!(derived(1, 94), hex(signature));
}

const HEADER: &str = "8040f17b 8041f8d3 5501a0b2";

/// The text of RFC 7714: its packets' payload.
fn gallia() -> Vec<u8> {
    b"Gallia est omnis divisa in partes tres".to_vec()
}

fn gcm_128() -> Transform {
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    Transform::gcm(&hex("000102030405060708090a0b0c0d0e0f"), salt)
}

fn gcm_256() -> Transform {
    let salt = hex("517569642070726f2071756f").try_into().unwrap();
    let key = hex("000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f");
    Transform::gcm(&key, salt)
}

#[test]
fn gcm_as_in_rfc_7714_section_16() {
    for (transform, expected) in [
        (
            gcm_128(),
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833
             899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            gcm_256(),
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b
             7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let plain = [hex(HEADER), gallia()].concat();
        let mut packet = plain.clone();
        packet.extend([0; GCM_TAG]);
        transform.seal_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(packet, [hex(HEADER), hex(expected)].concat());
        let len = transform.open_rtp(&mut packet, 12, 0x5501_a0b2, 0xf17b);
        assert_eq!(
            (len, &packet[..plain.len()]),
            (Some(plain.len()), &plain[..])
        );
    }
}

#[test]
fn gcm_of_rtcp_as_in_rfc_7714_section_17() {
    let plain =
        hex("81c8000d4d6172734e54503150c5 41fd 0d3b32f2 00000000 00000000 4e545031 4d617273");
    let transform = gcm_128();
    for said in [ENCRYPTED | 0x5d4, 0x5d4] {
        let mut packet = plain.clone();
        let len = packet.len();
        packet.extend([0; WORD + GCM_TAG]);
        if said & ENCRYPTED != 0 {
            transform.seal_rtcp(&mut packet, len, 0x4d61_7273, said);
            assert_ne!(packet[RTCP_HEADER..len], plain[RTCP_HEADER..]);
        } else {
            // As its sender signs one that is not encrypted.
            let aad = [&plain[..], &said.to_be_bytes()].concat();
            let Transform::Gcm { key, salt } = &transform else {
                unreachable!()
            };
            let nonce = gcm_nonce(salt, 0x4d61_7273, 0x5d4);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&aad), &mut []);
            packet[len..len + GCM_TAG].copy_from_slice(tag.unwrap().as_ref());
            packet[len + GCM_TAG..].copy_from_slice(&said.to_be_bytes());
        }
        assert_eq!(transform.index_word(&packet), said);
        let mut changed = packet.clone();
        changed[len] ^= 1;
        assert!(!transform.open_rtcp(&mut changed, len, 0x4d61_7273, said));
        assert!(transform.open_rtcp(&mut packet, len, 0x4d61_7273, said));
        assert_eq!(packet[..len], plain);
    }
}
