//! Which tokens are a person's: the exact client, the exact kind, an `auth_time`.
