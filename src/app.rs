//! Turns configuration into parts: the only place that does.
