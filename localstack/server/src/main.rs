//! `offline-aws`: see the library.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use offline_aws::Settings;

/// The AWS services that no emulator has, before an emulator that has the others.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Port of 127.0.0.1; 0 for a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The emulator.
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Folder of data products: DATA_SET/REVISION/ with the assets and revision.json.
    #[arg(long, value_name = "DIR")]
    data_exchange: PathBuf,
    /// Lake whose models answer at SageMaker's endpoints.
    #[arg(long, value_name = "LAKE")]
    lake: String,
    /// Folder of the containers' programs.
    #[arg(long, value_name = "DIR")]
    bin_dir: PathBuf,
    /// Folder for what containers say.
    #[arg(long, value_name = "DIR")]
    log_dir: PathBuf,
}

fn main() -> ExitCode {
    let Arguments { port, upstream, data_exchange, lake, bin_dir, log_dir } = Arguments::parse();
    let settings = Settings { port, upstream, data_exchange, lake, bin_dir, log_dir };
    match offline_aws::serve(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
