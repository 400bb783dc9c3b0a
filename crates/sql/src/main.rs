//! `algotrading-sql`: one SQL statement over a lake, as a table, CSV or JSON.

use std::io::{self, BufWriter, ErrorKind, Read};
use std::process::ExitCode;

use algotrading_sql::output::{self, WriteError};
use algotrading_sql::{Options, Session};
use clap::Parser;

/// The planner descends into a query's tree; a long but honest query must not run out of stack.
const STACK_BYTES: usize = 256 << 20;

const EXAMPLES: &str = "\
Examples:
  algotrading-sql \"SHOW TABLES\" --lake lake
  algotrading-sql \"SELECT sym, count(*) AS bars, max(dt) AS last FROM hist_data_daily GROUP BY sym ORDER BY sym\" --lake lake
  algotrading-sql \"SELECT dt, close FROM hist_data_daily_adjusted WHERE sym = 'IBM' ORDER BY dt\" --lake lake --format csv
  algotrading-sql \"SELECT * FROM hist_data_daily_as_of('2012-01-01T00:00:00Z') LIMIT 5\" --lake s3://bucket/prefix --format json
  algotrading-sql - --lake lake < query.sql

Tables: bars_daily, corporate_actions, quarantine, and signals, orders, fills, equity, runs where they exist.
Views: hist_data_daily, hist_data_daily_split_adjusted, hist_data_daily_adjusted; each with _as_of('moment').
Exit codes: 0 ok, 1 failed, 2 usage.";

/// Ask a lake in SQL, with the functions and names Athena has.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Args {
    /// One read-only statement; `-` reads it from standard input.
    sql: String,
    /// A folder or s3://bucket/prefix (credentials, region and AWS_ENDPOINT_URL from the environment).
    #[arg(long)]
    lake: String,
    /// How the rows are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Threads of the query. More than 1 is faster, but rows without ORDER BY may change places.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Memory of the query in MiB; larger sorts go to temporary files.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..))]
    memory_mib: u32,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || run(&args));
    let outcome = match worker.map(std::thread::JoinHandle::join) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err("the query engine stopped unexpectedly; please report the query".to_owned()),
        Err(error) => Err(format!("cannot start a thread: {error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES / 8)
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(answer(args))
}

async fn answer(args: &Args) -> Result<(), String> {
    let sql = match args.sql.as_str() {
        "-" => {
            let mut sql = String::new();
            io::stdin()
                .read_to_string(&mut sql)
                .map_err(|error| format!("cannot read the query from standard input: {error}"))?;
            sql
        }
        sql => sql.to_owned(),
    };
    let options = Options {
        threads: usize::from(args.threads),
        memory_mib: usize::try_from(args.memory_mib).unwrap_or(usize::MAX),
    };
    let session = Session::open(&args.lake, options).await.map_err(|error| error.to_string())?;
    let mut rows = session.query(&sql).await.map_err(|error| error.to_string())?;
    let format = match args.format {
        Format::Table => output::Format::Table,
        Format::Csv => output::Format::Csv,
        Format::Json => output::Format::Json,
    };
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match output::write(&mut rows, format, &mut out).await {
        Ok(_) => Ok(()),
        // The reader has seen enough (`| head`).
        Err(WriteError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
