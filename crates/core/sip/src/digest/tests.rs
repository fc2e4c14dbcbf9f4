use super::*;

fn answer(algorithm: Algorithm, qop: Qop, password: &str, nonce: &str, cnonce: &str) -> String {
    let realm: &[u8] = if cnonce.len() < 10 {
        b"testrealm@host.com"
    } else {
        b"http-auth@example.org"
    };
    let response = Answer {
        username: b"Mufasa",
        realm,
        password: password.as_bytes(),
        nonce: nonce.as_bytes(),
        algorithm,
        session: false,
        qop,
        nc: b"00000001",
        cnonce: cnonce.as_bytes(),
    }
    .response(Subject {
        method: b"GET",
        uri: b"/dir/index.html",
        body: b"",
    });
    String::from_utf8(response).expect("hexadecimal")
}

#[test]
fn vectors_of_rfc_2617_and_7616() {
    assert_eq!(
        answer(
            Algorithm::Md5,
            Qop::Auth,
            "Circle Of Life",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "0a4f113b"
        ),
        "6629fae49393a05397450978507c4ef1"
    );
    // RFC 2069's form with the same values.
    assert_eq!(
        answer(
            Algorithm::Md5,
            Qop::None,
            "Circle Of Life",
            "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            "0a4f113b"
        ),
        "670fd8c2df070c60b045671b8b24ff02"
    );
    let (nonce, cnonce) = (
        "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    );
    assert_eq!(
        answer(Algorithm::Md5, Qop::Auth, "Circle of Life", nonce, cnonce),
        "8ca523f5e9506fed4657c9700eebdbec"
    );
    assert_eq!(
        answer(
            Algorithm::Sha256,
            Qop::Auth,
            "Circle of Life",
            nonce,
            cnonce
        ),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

#[test]
fn hmac_vector_of_rfc_4231() {
    let mut key = [0; 32];
    key[..4].copy_from_slice(b"Jefe");
    assert_eq!(
        hex(&hmac_sha256(&key, &[b"what do ya want ", b"for nothing?"])),
        b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
}

fn strongest(lines: &str) -> Option<Challenge> {
    let text = format!("SIP/2.0 401 No\r\n{lines}\r\n");
    Challenge::strongest(&Message::read(text.as_bytes()).expect("framed"))
}

#[test]
fn challenges_as_carriers_write_them() {
    let plain = strongest(
        "WWW-Authenticate: digest realm = \"a, \\\"b\\\"\" ,nonce=\"n\", qop=\"auth-int,auth\"\r\n",
    )
    .expect("tolerated");
    assert_eq!(
        (plain.realm.as_slice(), plain.qop),
        (&b"a, \"b\""[..], Qop::Auth)
    );
    assert_eq!((plain.algorithm, plain.stale), (Algorithm::Md5, false));
    let best = strongest(
        "WWW-Authenticate: Digest realm=\"a\", nonce=\"1\", algorithm=MD5, Digest realm=\"a\", nonce=\"2\", \
         algorithm=SHA-256, stale=TRUE\r\nWWW-Authenticate: Digest realm=\"a\", nonce=\"3\", algorithm=SHA-256\r\n\
         WWW-Authenticate: Digest realm=\"a\", nonce=\"4\", algorithm=AKAv1-MD5\r\n",
    )
    .expect("one of them");
    assert_eq!((best.nonce.as_slice(), best.stale), (&b"2"[..], true));
    assert_eq!(strongest("WWW-Authenticate: Basic realm=\"a\"\r\n"), None);
    assert_eq!(strongest("WWW-Authenticate: Digest realm=\"a\"\r\n"), None);
}

#[test]
fn what_the_client_answers_the_server_accepts() {
    let credentials = Credentials {
        username: "10\"01".into(),
        password: Secret::new("s3cret"),
    };
    let subject = Subject {
        method: b"INVITE",
        uri: b"sip:b@example.com",
        body: b"v=0",
    };
    for (algorithm, qop) in [
        ("MD5", "auth"),
        ("MD5-sess", "auth"),
        ("SHA-256", "auth,auth-int"),
        ("SHA-256-sess", "auth-int"),
        ("SHA-512-256", "auth"),
    ] {
        let challenge = strongest(&format!(
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", opaque=\"o\", algorithm={algorithm}, qop=\"{qop}\"\r\n"
        ))
        .expect("known");
        let mut authorizer = Authorizer::new(challenge, "cn".into());
        for count in 1..=2 {
            let mut line = Vec::new();
            authorizer.put(&mut line, &credentials, subject);
            let value = line.strip_prefix(b"Authorization: ").expect("the header");
            let read = Authorization::read(trim(value)).expect("well formed");
            assert_eq!(read.username, b"10\"01");
            assert_eq!(read.nc, format!("{count:08x}").as_bytes());
            assert!(read.verify(&credentials.password, subject), "{algorithm}");
            assert!(!read.verify(&Secret::new("wrong"), subject));
            let other = Subject {
                method: b"BYE",
                ..subject
            };
            assert!(!read.verify(&credentials.password, other));
        }
    }
}
