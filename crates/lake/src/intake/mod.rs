//! Vendors' files as batches of rows.
