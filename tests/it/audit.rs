//! The journal is tested beside its code (`src/audit/tests`): an answer can be made by hand only there.
