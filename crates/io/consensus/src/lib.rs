//! Raft groups on openraft: log on raft-engine, snapshots, network over mesh.
