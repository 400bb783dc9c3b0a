//! Programs beside this one, as cargo's subcommands are: what is heavy to compile is built only by who wants it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::print::Reply;

/// A program beside this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sibling {
    /// File name.
    program: &'static str,
    /// Package that has it.
    package: &'static str,
    /// What it is to a user.
    what: &'static str,
}

/// SQL over a lake.
pub const SQL: Sibling = Sibling { program: "algotrading-sql", package: "algotrading-sql", what: "the SQL engine" };
/// Training of models.
pub const TRAIN: Sibling = Sibling { program: "algotrading-train", package: "training", what: "the trainer" };

/// People and the programs that are always on AWS.
pub const AWS: Sibling =
    Sibling { program: "algotrading-aws", package: "algotrading-aws", what: "the program that talks to AWS" };

/// A program beside this one failed, and has said why: its exit code is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("exit code {0}")]
pub struct Ended(pub u8);

impl Sibling {
    fn path(self) -> Result<PathBuf> {
        let own = std::env::current_exe().context("cannot find this program's own folder")?;
        let path = own.with_file_name(format!("{}{}", self.program, std::env::consts::EXE_SUFFIX));
        if path.is_file() {
            return Ok(path);
        }
        let release = own.components().any(|part| part.as_os_str() == "release");
        let profile = if release { "--release " } else { "" };
        bail!("{} is not built; build it once with `cargo build {profile}-p {}`", self.what, self.package)
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_built(self) -> bool {
        self.path().is_ok()
    }

    /// Runs it; what it prints goes where ours goes.
    ///
    /// # Errors
    /// It is not there or cannot be started; [`Ended`] when it failed.
    pub fn pass_through(self, arguments: &[String]) -> Result<Reply> {
        let program = self.path()?;
        let status = Command::new(&program).args(arguments).status();
        let status = status.with_context(|| format!("cannot start `{}`", program.display()))?;
        if !status.success() {
            bail!(Ended(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)));
        }
        Ok(Reply::default())
    }

    /// Runs it and returns what it prints.
    ///
    /// # Errors
    /// It is not there, or what it says.
    pub fn output(self, arguments: &[&str]) -> Result<String> {
        let program = self.path()?;
        let done = Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            bail!("{}", said.trim().trim_start_matches("error: "));
        }
        String::from_utf8(done.stdout).with_context(|| format!("the answer of {} is not text", self.what))
    }
}
