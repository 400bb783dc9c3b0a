//! The `algotrading` command.

use std::io::{self, Write};
use std::process::ExitCode;

use algotrading::sibling::Ended;
use algotrading::{args::Cli, command, print::Reply};
use clap::Parser;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match answer(cli) {
        Ok(reply) => match io::stdout().lock().write_all(reply.text.as_bytes()) {
            // The reader has seen enough (`| head`).
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                complain(&format!("cannot write the answer: {error}"))
            }
            _ => {
                eprint!("{}", reply.said);
                ExitCode::from(u8::from(reply.failed))
            }
        },
        Err(error) => match error.downcast_ref() {
            Some(Ended(code)) => ExitCode::from(*code),
            None => complain(&format!("{error:#}")),
        },
    }
}

fn answer(cli: Cli) -> anyhow::Result<Reply> {
    // A lake on S3 is read through an HTTP client that lives on this runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    command::run(cli)
}

fn complain(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
