//! What tests are built from.

pub(crate) mod bench;
