//! The SQL engine is a program of its own beside this one, as cargo's subcommands are.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

const PROGRAM: &str = "algotrading-sql";

fn program() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find this program's own folder")?;
    let path = own.with_file_name(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    let release = own.components().any(|part| part.as_os_str() == "release");
    let profile = if release { "--release " } else { "" };
    bail!("the SQL engine is not built; build it once with `cargo build {profile}-p {PROGRAM}` (it takes some minutes)")
}

/// Runs a statement; its rows go to standard output as they come.
///
/// # Errors
/// The program is not there or cannot be started.
pub fn pass_through(arguments: &[String]) -> Result<ExitStatus> {
    let program = program()?;
    Command::new(&program).args(arguments).status().with_context(|| format!("cannot start `{}`", program.display()))
}

/// Runs a statement and returns its rows as CSV.
///
/// # Errors
/// The program is not there, or what it says.
pub fn csv(sql: &str, lake: &str) -> Result<String> {
    let program = program()?;
    let done = Command::new(&program)
        .args([sql, "--lake", lake, "--format", "csv"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", program.display()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{}", said.trim().trim_start_matches("error: "));
    }
    String::from_utf8(done.stdout).context("the SQL engine's answer is not text")
}
