//! What a packet of 20 ms costs under SRTP: `cargo bench -p media --bench srtp`. Fails when it
//! allocates. Beside it what the two primitives of the usual suite cost alone.

use aws_lc_rs::{cipher, hmac, iv::FixedLength};
use domain::{SrtpKey, SrtpSuite};
use media::{SRTP_ROOM, SrtpContext};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// Counts allocations.
struct Counting;

static MADE: AtomicU64 = AtomicU64::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is handed to the system's allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MADE.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PACKETS: u32 = 200_000;
/// Header and 20 ms of G.711.
const LEN: usize = 12 + 160;

fn main() {
    println!(
        "a context takes {} bytes; {PACKETS} packets of {LEN} bytes each",
        size_of::<SrtpContext>()
    );
    for suite in SrtpSuite::ALL {
        let (mut protect, mut both) = (u128::MAX, u128::MAX);
        for _ in 0..5 {
            let (one, two) = run(suite);
            (protect, both) = (protect.min(one), both.min(two));
        }
        println!(
            "{:24} protect {protect} ns, unprotect {} ns, together {both} ns a packet",
            suite.name(),
            both - protect
        );
    }
    primitives();
}

/// Nanoseconds a packet: protected, and protected and opened.
fn run(suite: SrtpSuite) -> (u128, u128) {
    let key = SrtpKey::draw(suite, |bytes| bytes.fill(0x5a));
    let (mut alone, mut out) = (SrtpContext::new(&key), SrtpContext::new(&key));
    let mut into = SrtpContext::new(&key);
    let mut buffer = [0; LEN + SRTP_ROOM];
    let before = MADE.load(Ordering::Relaxed);
    let began = Instant::now();
    for n in 0..PACKETS {
        header(&mut buffer, n as u16);
        black_box(alone.protect(&mut buffer, LEN)).expect("room");
    }
    let protect = began.elapsed().as_nanos() / u128::from(PACKETS);
    let began = Instant::now();
    for n in 0..PACKETS {
        header(&mut buffer, n as u16);
        let len = out.protect(&mut buffer, LEN).expect("room");
        black_box(into.unprotect(&mut buffer[..len])).expect("the same key");
    }
    let both = began.elapsed().as_nanos() / u128::from(PACKETS);
    let made = MADE.load(Ordering::Relaxed) - before;
    assert_eq!(made, 0, "a packet must not allocate");
    (protect, both)
}

fn header(buffer: &mut [u8], sequence: u16) {
    buffer[..2].copy_from_slice(&[0x80, 0]);
    buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
    buffer[4..12].fill(1);
}

/// One AES-128 counter run over 160 bytes, one HMAC-SHA1 over 176: what nothing can be below.
fn primitives() {
    let key = cipher::UnboundCipherKey::new(&cipher::AES_128, &[1; 16]).expect("16 bytes");
    let key = cipher::EncryptingKey::ctr(key).expect("AES counts");
    let signature = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[2; 20]);
    let mut bytes = [0; 176];
    let began = Instant::now();
    for _ in 0..PACKETS {
        let iv = cipher::EncryptionContext::Iv128(FixedLength::from([3; 16]));
        black_box(key.less_safe_encrypt(&mut bytes[16..], iv)).expect("any length");
    }
    let cipher = began.elapsed().as_nanos() / u128::from(PACKETS);
    let began = Instant::now();
    for _ in 0..PACKETS {
        black_box(hmac::sign(&signature, black_box(&bytes)));
    }
    let signing = began.elapsed().as_nanos() / u128::from(PACKETS);
    println!("alone: AES-128 in counter mode {cipher} ns, HMAC-SHA1 {signing} ns");
}
