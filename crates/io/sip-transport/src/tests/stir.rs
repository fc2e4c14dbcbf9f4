//! What is signed here is checked by OpenSSL, which shares no code with us.

use crate::{StirError, StirFiles, load_voucher};
use domain::{Attestation, PhoneNumber, WallTime};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

const URL: &str = "https://cert.example.org/passport.cer";

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is there: `cargo xtask setup` installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A key on that curve and a certificate of it for 30 days, with the extension of RFC 8226.
fn files(folder: &Path, name: &str, curve: &str) -> StirFiles {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    openssl(
        folder,
        &["ecparam", "-name", curve, "-genkey", "-noout", "-out", &key],
    );
    // SPC 1234: SEQUENCE { [0] IA5String "1234" }.
    let list = "1.3.6.1.5.5.7.1.26=DER:30:08:a0:06:16:04:31:32:33:34";
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-new",
            "-key",
            &key,
            "-subj",
            "/CN=SHAKEN 1234",
            "-days",
            "30",
            "-addext",
            list,
            "-out",
            &certificate,
        ],
    );
    StirFiles {
        certificate: folder.join(certificate),
        key: folder.join(key),
        x5u: URL.to_owned(),
    }
}

fn now() -> WallTime {
    let spent = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    WallTime::from_millis(i64::try_from(spent.as_millis()).expect("this age"))
}

fn number(text: &str) -> PhoneNumber {
    text.parse().expect("E.164")
}

/// base64url without padding, by hand: the test has no reader of ours.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        alphabet.iter().position(|b| *b == byte).expect("base64url") as u32
    };
    let bits = text.bytes().map(value);
    let (mut out, mut held, mut count) = (Vec::new(), 0u32, 0);
    for six in bits {
        (held, count) = (held << 6 | six, count + 6);
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
            held &= (1 << count) - 1;
        }
    }
    out
}

/// r and s as OpenSSL wants them: SEQUENCE { INTEGER r, INTEGER s }.
fn as_der(signature: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let first = bytes.iter().position(|b| *b != 0).expect("not zero");
        let mut body = bytes[first..].to_vec();
        if body[0] >= 0x80 {
            body.insert(0, 0);
        }
        [&[2, body.len() as u8], &body[..]].concat()
    };
    let (r, s) = signature.split_at(32);
    let both = [integer(r), integer(s)].concat();
    [&[0x30, both.len() as u8], &both[..]].concat()
}

/// Whether OpenSSL finds the token signed by the certificate's key.
fn verified(folder: &Path, certificate: &str, token: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let signature = decoded(signature);
    assert_eq!(signature.len(), 64);
    fs::write(folder.join("signed"), signed).expect("written");
    fs::write(folder.join("signature"), as_der(&signature)).expect("written");
    let public = openssl(folder, &["x509", "-in", certificate, "-noout", "-pubkey"]);
    fs::write(folder.join("public"), public).expect("written");
    let arguments = ["dgst", "-sha256", "-verify", "public", "-signature"];
    let status = Command::new("openssl")
        .args(arguments)
        .args(["signature", "signed"])
        .current_dir(folder)
        .stdout(Stdio::null())
        .status();
    status.expect("openssl ran").success()
}

#[test]
fn openssl_verifies_what_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(folder.path(), "a", "prime256v1");
    let now = now();
    let voucher = load_voucher(&files, "shenzhen", now).expect("usable");
    let sign = || {
        let (caller, called) = (number("+12155551212"), number("+8613800138000"));
        let value = voucher.identity(now, Attestation::B, caller, called);
        let value = value.expect("signed");
        let (token, _) = value.split_once(';').expect("parameters");
        token.to_owned()
    };
    let token = sign();
    assert!(verified(folder.path(), "a.pem", &token));
    let claims = token.split('.').nth(1).expect("claims");
    let claims = String::from_utf8(decoded(claims)).expect("JSON");
    assert!(claims.starts_with(r#"{"attest":"B","dest":{"tn":["8613800138000"]},"iat":"#));
    let seconds = now.as_millis() / 1000;
    assert!(claims.contains(&format!(
        r#""iat":{seconds},"orig":{{"tn":"12155551212"}},"#
    )));
    // Another word, another signature.
    let changed = token.replacen('.', ".e", 1);
    assert!(!verified(folder.path(), "a.pem", &changed));
    // PKCS#8, as other tools write keys.
    let pkcs8 = [
        "pkcs8", "-topk8", "-nocrypt", "-in", "a.key", "-out", "b.key",
    ];
    openssl(folder.path(), &pkcs8);
    let files = StirFiles {
        key: folder.path().join("b.key"),
        ..files
    };
    load_voucher(&files, "shenzhen", now).expect("usable");
    // What it costs.
    let began = Instant::now();
    for _ in 0..1_000 {
        sign();
    }
    println!("{:?} a signed PASSporT", began.elapsed() / 1_000);
}

#[test]
fn a_key_is_never_printed_and_a_certificate_over_signs_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files(folder.path(), "a", "prime256v1");
    let voucher = load_voucher(&files, "shenzhen", now()).expect("usable");
    let printed = format!("{voucher:?}");
    assert!(printed.contains(URL) && printed.len() < 400, "{printed}");
    let number = number("+12155551212");
    let later = now() + Duration::from_secs(31 * 86_400);
    let signed = |at| voucher.identity(at, Attestation::A, number, number);
    assert!(signed(now()).is_some() && signed(later).is_none());
    let over = load_voucher(&files, "shenzhen", later);
    assert!(matches!(over, Err(StirError::NotValid { .. })), "{over:?}");
}

#[test]
fn files_that_do_not_serve_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = files(folder.path(), "a", "prime256v1");
    let other = files(folder.path(), "b", "prime256v1");
    let curve = files(folder.path(), "c", "secp384r1");
    let missing = folder.path().join("nothing");
    let with_key = |key: &Path| StirFiles {
        key: key.to_owned(),
        ..good.clone()
    };
    let http = StirFiles {
        x5u: "http://cert.example.org/a".to_owned(),
        ..good.clone()
    };
    for (files, words) in [
        (with_key(&other.key), "a.pem is of another key than"),
        (with_key(&curve.key), "c.key is no ECDSA key on P-256"),
        (
            with_key(&good.certificate),
            "a.pem is not PEM with a private key",
        ),
        (with_key(&missing), "nothing cannot be read"),
        (http, "x5u does not begin with https://"),
    ] {
        let error = load_voucher(&files, "a", now())
            .expect_err(words)
            .to_string();
        assert!(error.contains(words), "{error}");
    }
}
