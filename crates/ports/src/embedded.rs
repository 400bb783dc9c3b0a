//! The ports on nothing but memory and a folder.
