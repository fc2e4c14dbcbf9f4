//! May this number be dialed now: calling windows and attempt limits; rule packs are data.
