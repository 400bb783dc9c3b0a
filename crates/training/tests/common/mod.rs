//! A lake with the sample in it, and the commands that work on it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use algotrading::args::Cli;
use algotrading::command;
use clap::Parser;
use serde_json::Value;

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

/// A folder with a lake in it.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With the sample imported.
    pub fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        place.algotrading(&["data", "import", data("sample").to_str().unwrap()]).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn lake(&self) -> String {
        self.path("lake")
    }

    /// What the main command answers, through its library.
    pub fn algotrading(&self, arguments: &[&str]) -> Result<String, String> {
        let lake = self.lake();
        let all = ["algotrading"].iter().chain(arguments).copied().chain(["--lake", &lake]);
        let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        command::run(cli).map(|reply| reply.text).map_err(|error| format!("{error:#}"))
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.algotrading(&[arguments, &["--json"]].concat()).unwrap()).unwrap()
    }

    pub fn train(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_algotrading-train"))
            .args(arguments)
            .args(["--lake", &self.lake()])
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    pub fn trained(&self, arguments: &[&str]) -> String {
        let done = self.train(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn refuses(&self, arguments: &[&str], words: &[&str]) {
        let done = self.train(arguments);
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("error: ") && said.trim_end().lines().count() == 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?} should say `{word}`: {said}");
        }
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
}
