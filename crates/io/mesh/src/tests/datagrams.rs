//! Datagrams: both ways, to their bound, and to whom there is no way.

use super::*;
use domain::limits::MESH_DATAGRAM_BYTES;
use tokio::sync::mpsc;

/// What reaches an endpoint from here on.
fn taken(endpoint: &Endpoint) -> mpsc::UnboundedReceiver<(MemberId, Bytes)> {
    let (sender, taken) = mpsc::unbounded_channel();
    endpoint.take_datagrams(move |from, datagram| {
        sender.send((from, datagram)).unwrap();
    });
    taken
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_both_ways_to_their_bound_and_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let ca = MeshCa::create(dir.path(), now()).unwrap();
    let [a, b] = &members(&ca, 2)[..] else {
        panic!()
    };
    within(a.connected(id(2))).await;
    within(b.connected(id(1))).await;
    // Nobody takes it: dropped, and nothing else is hurt.
    a.send_datagram(id(2), text("early")).unwrap();
    let (mut at_a, mut at_b) = (taken(a), taken(b));
    // One may be lost, on loopback too: sent until it is there.
    let longest = Bytes::from(vec![7; MESH_DATAGRAM_BYTES]);
    for (from, at, sender) in [(a, &mut at_b, id(1)), (b, &mut at_a, id(2))] {
        let to = if sender == id(1) { id(2) } else { id(1) };
        let got = within(async {
            loop {
                from.send_datagram(to, longest.clone()).unwrap();
                let wait = Duration::from_millis(100);
                if let Ok(Some(got)) = tokio::time::timeout(wait, at.recv()).await
                    && got.1 != "early"
                {
                    return got;
                }
            }
        });
        assert_eq!(got.await, (sender, longest.clone()));
    }
    let longer = Bytes::from(vec![7; MESH_DATAGRAM_BYTES + 1]);
    assert_eq!(a.send_datagram(id(2), longer), Err(Unsent::TooLarge));
    let nobody = a.send_datagram(id(9), text("hi"));
    assert_eq!(nobody, Err(Unsent::NotConnected));
    a.set_cut(&BTreeSet::from([id(2)]));
    let cut = a.send_datagram(id(2), text("hi"));
    assert_eq!(cut, Err(Unsent::NotConnected));
}
