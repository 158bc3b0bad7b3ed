//! Logs and stage latencies.
