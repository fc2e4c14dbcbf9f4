//! Legs whose peer is reached over another node: their packets come from the mesh and go to it.

use domain::{CarriedCall, Codec, LegId, MemberId};

/// The payload type of telephone-event (RFC 4733) between two nodes.
pub const CARRIED_EVENT: u8 = 101;

/// Said by the engine to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CarryCommand {
    /// An open leg's peer is that call at another node, until the leg closes.
    Attach {
        /// The leg, opened with [`CARRIED_EVENT`].
        leg: LegId,
        /// The other node.
        peer: MemberId,
        /// The call's name between the two.
        call: CarriedCall,
        /// What is sent there.
        codec: Codec,
    },
}
