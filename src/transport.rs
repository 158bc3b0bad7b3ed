//! bytes → Arrival, Masked → bytes: the only code that knows rmcp and axum.
