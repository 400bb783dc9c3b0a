//! `docs/sql.md` lists what is shipped.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::path::Path;

use queries::{Kind, Severity};

#[test]
fn the_document_lists_every_text_with_what_it_says_of_itself() {
    let mut wanted = String::from("\n| Name | What it is | What it says |\n|---|---|---|\n");
    for query in queries::all() {
        let kind = match query.kind {
            Kind::Table => "table",
            Kind::View => "view",
            Kind::AsOf => "view as of a moment",
            Kind::Check(Severity::Stop) => "check; a finding stops the day",
            Kind::Check(Severity::Warn) => "check; people are told",
            Kind::Analyst if query.parameters > 0 => "query about a session",
            Kind::Analyst => "query",
        };
        writeln!(wanted, "| `{}` | {kind} | {} |", query.name, query.summary()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, rest) = document.split_once("<!-- shipped").unwrap();
    let (_, rest) = rest.split_once("-->\n").unwrap();
    let (listed, _) = rest.split_once("<!-- end of shipped -->").unwrap();
    // Printed as a whole, to be copied.
    assert!(listed.trim() == wanted.trim(), "docs/sql.md should say:\n{wanted}");
}
