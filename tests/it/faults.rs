//! Power cuts, full disks, failing syncs and kill -9 of the journal are tested beside its code
//! (`src/audit/tests/faults.rs`, `kill.rs`): an answer can be made by hand only there.
