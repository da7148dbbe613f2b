//! Any input: no panic, no secret.
