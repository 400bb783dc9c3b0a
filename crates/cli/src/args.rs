//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{Money, SessionDate, Symbol, Timestamp};

use crate::live::kill::Which;

const EXAMPLES: &str = "\
Examples:
  algotrading demo
  algotrading data import data/sample --lake lake
  algotrading backtest run.toml --lake lake --set strategy.fast=20

Every command explains itself: algotrading backtest --help
Exit codes: 0 ok, 1 failed, 2 usage.";

/// From a vendor's file to a tear sheet: end-of-day data, backtests and reports.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Import the sample, trade it by four strategies and show tear sheets; needs nothing but this program.
    #[command(after_help = "\
Examples:
  algotrading demo
  algotrading demo --out /tmp/demo")]
    Demo(Demo),
    /// Bring vendors' files into a lake, check it, look into it.
    #[command(subcommand)]
    Data(Data),
    /// Ask a lake in SQL, with the functions and names Athena has.
    #[command(after_help = "\
Runs the program algotrading-sql beside this one; build it once with `cargo build --release -p algotrading-sql`.

Examples:
  algotrading sql \"SHOW TABLES\" --lake lake
  algotrading sql \"SELECT sym, count(*) AS bars FROM hist_data_daily GROUP BY sym\" --lake lake --format csv")]
    Sql(Sql),
    /// Run one backtest and write its folder: journal, tables, tear sheet.
    #[command(after_help = "\
A run file:
  [data]
  symbols = [\"AAPL\", \"IBM\"]
  from = \"2005-01-03\"
  [strategy]
  name = \"sma\"          # or ema, breakout, targets
  fast = 50
  slow = 200
  size = 100
  [account]
  cash = 250000
  [costs]
  commission_per_share = 0.005
  [risk]
  position_notional_max = 100000

Later layers win: the file, then variables such as ALGOTRADING_STRATEGY__FAST=20, then --set.
docs/run.schema.json lists every key.

Examples:
  algotrading backtest run.toml --lake lake
  algotrading backtest run.toml --set strategy.fast=20 --set data.symbols=IBM --out runs/fast
  algotrading backtest run.toml --json | jq .metrics.sharpe_ratio.value")]
    Backtest(Backtest),
    /// Run a strategy again on data that ends earlier and fail if an earlier decision changes.
    #[command(after_help = "\
Examples:
  algotrading lookahead-check run.toml --lake lake
  algotrading lookahead-check run.toml --cuts 50 --json")]
    LookaheadCheck(LookaheadCheck),
    /// Train a model on a lake and keep it there.
    #[command(
        disable_help_flag = true,
        long_about = "Train a model on a lake and keep it there.\n\n\
        Runs the program algotrading-train beside this one; build it once with `cargo build --release -p training`.",
        after_help = "\
Examples:
  algotrading train forecast train.toml --lake lake --promote
  algotrading train forecast --help"
    )]
    Train(PassedOn),
    /// The models of a lake.
    #[command(subcommand)]
    Model(Model),
    /// Say what a model forecasts for each session of some symbols.
    #[command(after_help = "\
Examples:
  algotrading predict forecast IBM MSFT --lake lake --from 2012-12-03
  algotrading predict forecast@0123456789abcdef IBM --csv > forecast.csv")]
    Predict(Predict),
    /// The features that models read: what they are, or their rows, to train a model elsewhere.
    ///
    /// Without a symbol their names and definitions. With symbols a row for each session, as CSV, and whether a long and
    /// a short entry at its close succeeded: 2 % gained before 1.5 % lost within five sessions; empty where that is not
    /// known yet.
    #[command(after_help = "\
Examples:
  algotrading features
  algotrading features IBM MSFT --lake lake --to 2009-12-31 > rows.csv")]
    Features(Features),
    /// Serve a model over HTTP, as a SageMaker endpoint does.
    #[command(after_help = "\
GET /ping, POST /invocations (text/csv, application/json, application/jsonlines), and for clients of the SageMaker
runtime POST /endpoints/{name}/invocations. docs/models.md shows bodies. A stop (Ctrl-C, SIGTERM) lets requests finish.

Examples:
  algotrading serve-model forecast --lake lake
  algotrading serve-model forecast@0123456789abcdef --bind 127.0.0.1:0")]
    ServeModel(ServeModel),
    /// The scheduled end of a trading day, all in one process: new data in, checks, signals, strategies, limits, reports.
    ///
    /// The same steps as on AWS, on a folder. The lake's strategies/*.toml are the run files of what is traded,
    /// watch/limits.toml what is watched. Safe to call twice: what was done is not done again.
    #[command(after_help = "\
A folder of data products has DATA_SET/REVISION/ with the vendor's files and a revision.json
such as {\"published_at\": \"2013-03-01T23:00:00Z\"}; docs/eod.md shows the steps and what they leave behind.

Examples:
  algotrading eod --lake lake --date 2013-03-01
  algotrading eod --lake lake --date 2013-03-01 --exchange products --json")]
    Eod(Eod),
    /// Make the tables and the tear sheet of a run again from its journal, after proving that nobody changed it.
    #[command(after_help = "\
Examples:
  algotrading report runs/0123456789abcdef")]
    Report(Report),
    /// Trade a run file on paper: the strategy that was backtested, unchanged, on the same venue, step by step.
    ///
    /// Prices come from the lake, session by session, or as lines from a file or standard input. The account lies in a
    /// folder: market.jsonl (what was told), journal.jsonl (every step), requests.jsonl (what people asked). Started
    /// again it goes on where it was, whatever stopped it, and fails when a step comes out otherwise than before.
    #[command(after_help = "\
A line of a feed, one JSON object each:
  {\"open\": \"2024-01-02\"}
  {\"price\": {\"sym\": \"IBM\", \"price\": \"161.5\", \"volume\": 300, \"at\": \"2024-01-02T14:31:00Z\"}}
  {\"bar\": {\"sym\": \"IBM\", \"open\": \"162.8\", \"high\": \"163.2\", \"low\": \"160.3\", \"close\": \"161.5\", \"volume\": 3825044}}
  {\"close\": \"2024-01-02\"}

Examples:
  algotrading paper run.toml --lake lake
  algotrading paper run.toml --lake lake --follow --limits limits.toml
  algotrading paper run.toml --feed prices.jsonl --out trading/try")]
    Paper(Paper),
    /// Serve a paper account over Alpaca's API: any client of Alpaca's can trade on it.
    ///
    /// The market is the lake's sessions at a pace, or lines of prices. What is sent between two sessions trades in the
    /// next one. The account lives as long as the program.
    #[command(after_help = "\
Clients show the key in APCA_API_KEY_ID and APCA_API_SECRET_KEY.

Examples:
  APCA_API_KEY_ID=me APCA_API_SECRET_KEY=secret algotrading paper-server IBM MSFT --lake lake --from 2012-01-03
  TradingClient('me', 'secret', url_override='http://127.0.0.1:8100')   # alpaca-py")]
    PaperServer(PaperServer),
    /// Trade a run file at a broker, in one process.
    ///
    /// The account lies in a folder, as on paper. The broker's books count: at the start, after the line was down and at
    /// each close orders, positions and cash are compared; ours are put right, and nothing new is begun until somebody
    /// accepts the difference by name. Started again it replays its journal and asks the broker about every open order.
    #[command(after_help = "\
Credentials come from the environment: APCA_API_KEY_ID, APCA_API_SECRET_KEY and APCA_API_BASE_URL (Alpaca's paper trading
unless said); FIX_USERNAME and FIX_PASSWORD, with the session in fix.toml, or where ALGOTRADING_FIX says.

Examples:
  algotrading live run.toml --broker alpaca --limits limits.toml --feed alpaca --trade-real-money
  algotrading accept --strategy run --by alice --reason \"deposit of Friday\"")]
    Live(Live),
    /// Accept every difference from the broker's books so far, so that the strategy may go on.
    Accept(Say),
    /// Enable a strategy again that was stopped because it repeated itself too often.
    Reenable(Say),
    /// Say what a strategy may still do: normal, reduce-only, cancel or flatten.
    Control(Control),
    /// Cancel everything and close every position, now: of a strategy, an account or all of them.
    ///
    /// A program that trades the account obeys before anything else; the record says what was cancelled and closed, and
    /// when. Where none does, the next one obeys first. The exit code is 1 while anything is still open.
    #[command(after_help = "\
Examples:
  algotrading kill --all --by alice --reason \"wrong prices\"
  algotrading kill --strategy ibm --by alice --root trading --json")]
    Kill(Kill),
    /// The programs that are always on AWS: how they stand, what they may do, kill, their journals.
    #[command(
        disable_help_flag = true,
        long_about = "The programs that are always on AWS: how they stand, what they may do, kill, their journals.\n\n\
        Runs the program algotrading-aws beside this one; build it once with `cargo build --release -p algotrading-aws`.",
        after_help = "\
Examples:
  algotrading aws status
  algotrading aws kill --all --by alice --reason \"wrong prices\"
  algotrading aws --help"
    )]
    Aws(PassedOn),
    /// Hold what an account traded against what the simulator makes of the same days: every cent between them, by cause.
    ///
    /// data: the lake has other prices now; timing: traded in another session; fill: at another price; fee: at another
    /// commission; order: traded by only one of them. The items add up to the difference in equity.
    #[command(after_help = "\
Examples:
  algotrading parity trading/paper-run --lake lake
  algotrading parity trading/alpaca-run --lake lake --json")]
    Parity(Parity),
    /// Prove, read or replay a journal.
    #[command(subcommand)]
    Journal(Journal),
}

/// `algotrading paper`
#[derive(Debug, Args)]
pub struct Paper {
    /// The run.
    #[command(flatten)]
    pub run_file: RunFile,
    /// The strategy's name, for its orders; the run file's unless said.
    #[arg(long)]
    pub name: Option<String>,
    /// Folder of the account; trading/paper-NAME unless said.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Prices as they come instead of the lake's sessions: alpaca (or alpaca:sip), a file of lines, or - for standard
    /// input.
    #[arg(long, value_name = "FEED")]
    pub feed: Option<PathBuf>,
    /// Wait for new sessions of the lake instead of ending.
    #[arg(long)]
    pub follow: bool,
    /// Sessions of the lake in a second; as many as it can unless said.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub sessions_per_second: Option<f64>,
    /// What the house allows, beside the run file's own limits.
    #[arg(long, value_name = "FILE")]
    pub limits: Option<PathBuf>,
    /// Who looks at it meanwhile.
    #[command(flatten)]
    pub look: Look,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading paper-server`
#[derive(Debug, Args)]
pub struct PaperServer {
    /// What can be traded.
    #[arg(required = true, value_name = "SYM", value_parser = symbol)]
    pub symbols: Vec<Symbol>,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// First session; the first known one unless said.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<SessionDate>,
    /// Last session; the last known one unless said.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<SessionDate>,
    /// Sessions in a second.
    #[arg(long, value_name = "RATE", default_value = "1", value_parser = rate)]
    pub sessions_per_second: f64,
    /// Lines of prices instead of the lake's sessions; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub feed: Option<PathBuf>,
    /// Cash at the start.
    #[arg(long, value_name = "MONEY", default_value = "100000", value_parser = money)]
    pub cash: Money,
    /// Where it listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8100")]
    pub bind: std::net::SocketAddr,
}

/// `algotrading live`
#[derive(Debug, Args)]
pub struct Live {
    /// The run.
    #[command(flatten)]
    pub run_file: RunFile,
    /// The broker.
    #[arg(long, value_enum)]
    pub broker: BrokerName,
    /// What the house allows, beside the run file's own limits.
    #[arg(long, value_name = "FILE")]
    pub limits: PathBuf,
    /// Prices: alpaca (or alpaca:sip), a file of lines (`algotrading paper --help` shows them), or - for standard input.
    #[arg(long, value_name = "FEED")]
    pub feed: PathBuf,
    /// Yes, orders go to the broker.
    #[arg(long)]
    pub trade_real_money: bool,
    /// The strategy's name, for its orders; the run file's unless said.
    #[arg(long)]
    pub name: Option<String>,
    /// Folder of the account; trading/BROKER-NAME unless said.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Difference in cash that counts as none.
    #[arg(long, value_name = "MONEY", default_value = "0.01", value_parser = money)]
    pub cash_tolerance: Money,
    /// Seconds without a price of an instrument, inside a session, after which nothing is begun in it.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub silence: u32,
    /// Who looks at it meanwhile.
    #[command(flatten)]
    pub look: Look,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BrokerName {
    /// Alpaca's Trading API.
    Alpaca,
    /// A counterparty over FIX 4.4.
    Fix,
}

impl BrokerName {
    /// As it stands in names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::Fix => "fix",
        }
    }
}

/// What a person says to accounts.
#[derive(Debug, Args)]
pub struct Say {
    /// Which accounts.
    #[command(flatten)]
    pub which: WhichAccounts,
    /// Folder that holds accounts, or is one.
    #[arg(long, default_value = "trading", value_name = "DIR")]
    pub root: PathBuf,
    /// Who says it.
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// `algotrading control`
#[derive(Debug, Args)]
pub struct Control {
    /// What may still be done.
    #[arg(value_enum)]
    pub mode: ModeName,
    /// To whom, by whom, why.
    #[command(flatten)]
    pub say: Say,
}

/// What a strategy may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// Anything.
    Normal,
    /// Only what brings positions towards flat.
    ReduceOnly,
    /// Nothing new; what works is cancelled, positions stay. Also called halt.
    #[value(alias = "halt")]
    Cancel,
    /// What works is cancelled and every position closed.
    Flatten,
}

impl From<ModeName> for engine::Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Normal => Self::Normal,
            ModeName::ReduceOnly => Self::ReduceOnly,
            ModeName::Cancel => Self::Cancel,
            ModeName::Flatten => Self::Flatten,
        }
    }
}

/// Looking at an account while it trades.
#[derive(Debug, Args)]
pub struct Look {
    /// Serve a page of the account on this machine; its address with the token is printed once.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1:0")]
    pub page: Option<std::net::SocketAddr>,
    /// Show the account in the terminal; where that is none, a line for each thing that happens.
    #[arg(long)]
    pub view: bool,
    /// Whose requests the view's are.
    #[arg(long, env = "USER", value_name = "NAME", default_value = "operator")]
    pub by: String,
}

/// `algotrading kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// Which accounts.
    #[command(flatten)]
    pub which: WhichAccounts,
    /// Folder that holds accounts, or is one.
    #[arg(long, default_value = "trading", value_name = "DIR")]
    pub root: PathBuf,
    /// Who asks for it.
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why.
    #[arg(long, default_value = "kill switch", value_name = "TEXT")]
    pub reason: String,
    /// Seconds to watch.
    #[arg(long, default_value_t = 30)]
    pub wait: u16,
    /// The lake, for a strategy with a model, of an account at a broker that no program trades now.
    #[command(flatten)]
    pub lake: InLake,
    /// Print the record as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which accounts.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhichAccounts {
    /// Those of a strategy.
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// Those at a broker, such as paper.
    #[arg(long, value_name = "BROKER")]
    pub account: Option<String>,
    /// Every one.
    #[arg(long)]
    pub all: bool,
}

impl WhichAccounts {
    /// Which ones are meant.
    #[must_use]
    pub fn which(&self) -> Which {
        match (&self.strategy, &self.account) {
            (Some(name), _) => Which::Strategy(name.clone()),
            (_, Some(name)) => Which::Broker(name.clone()),
            _ => Which::All,
        }
    }
}

/// `algotrading parity`
#[derive(Debug, Args)]
pub struct Parity {
    /// The account's folder.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Print the items as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading journal`
#[derive(Debug, Subcommand)]
pub enum Journal {
    /// Prove that nobody changed a journal: each line follows the one before, and the end is the one that was noted.
    ///
    /// Lines that were changed, removed or added break the chain. An end that was cut off leaves a chain that is whole:
    /// it is found by the hashes in heads.jsonl, noted at each close; give a copy kept elsewhere with --heads, or the
    /// last hash with --expect.
    #[command(after_help = "\
Examples:
  algotrading journal verify trading/paper-run
  algotrading journal verify runs/0123456789abcdef --expect 9f86d0…")]
    Verify(JournalVerify),
    /// What happened, in words.
    #[command(after_help = "\
Examples:
  algotrading journal show trading/paper-run --last 20")]
    Show(JournalShow),
    /// Run a journal's events through a new engine and compare every step, byte for byte.
    #[command(after_help = "\
Examples:
  algotrading journal replay trading/paper-run --lake lake")]
    Replay(JournalReplay),
}

/// `algotrading journal verify`
#[derive(Debug, Args)]
pub struct JournalVerify {
    /// A journal, or a folder that holds one.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Heads to hold it against; heads.jsonl beside it unless said.
    #[arg(long, value_name = "FILE")]
    pub heads: Option<PathBuf>,
    /// The hash it must end with.
    #[arg(long, value_name = "SHA256")]
    pub expect: Option<String>,
    /// Print the proof as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading journal show`
#[derive(Debug, Args)]
pub struct JournalShow {
    /// A journal, or a folder that holds one.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// First step.
    #[arg(long, value_name = "STEP")]
    pub from: Option<u64>,
    /// Only so many lines of the end.
    #[arg(long, value_name = "LINES")]
    pub last: Option<usize>,
}

/// `algotrading journal replay`
#[derive(Debug, Args)]
pub struct JournalReplay {
    /// The folder of a run or of an account.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The lake, for a strategy that needs a model or a table.
    #[command(flatten)]
    pub lake: InLake,
}

/// `algotrading demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Folder for everything the demo makes.
    #[arg(long, default_value = "demo", value_name = "DIR")]
    pub out: PathBuf,
}

/// Where the lake lies.
#[derive(Debug, Args)]
pub struct InLake {
    /// A folder or s3://bucket/prefix (credentials, region and AWS_ENDPOINT_URL from the environment).
    #[arg(long, env = "ALGOTRADING_LAKE", default_value = "lake", value_name = "LAKE")]
    pub lake: String,
}

/// `algotrading data`
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Import vendors' files: good rows are stored, bad ones quarantined with their reason, the same file twice changes nothing.
    #[command(after_help = "\
Examples:
  algotrading data import daily_adjusted_IBM.csv --lake lake
  algotrading data import data/sample --lake s3://bucket/prefix --json
  algotrading data import IBM.csv --profile yahoo --symbol IBM
  algotrading data import old.csv --known-at 2014-01-02T00:00:00Z --strict")]
    Import(Import),
    /// Check the contracts over everything a lake holds.
    #[command(after_help = "\
Examples:
  algotrading data check --lake lake
  algotrading data check --lake lake --json")]
    Check(Check),
    /// Show the bars of a symbol, as they are known now or were known then.
    #[command(after_help = "\
Examples:
  algotrading data show IBM --from 2010-01-04 --to 2010-01-29
  algotrading data show AAPL --adjust total --csv > aapl.csv
  algotrading data show AAPL --as-of 2005-03-01T00:00:00Z --adjust split")]
    Show(Show),
}

/// `algotrading data import`
#[derive(Debug, Args)]
pub struct Import {
    /// Files, or folders of files.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Layout of the files, where the header does not tell; a name or a TOML file of your own.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Symbol of the files, where they do not name it.
    #[arg(long, value_name = "SYM", value_parser = symbol)]
    pub symbol: Option<Symbol>,
    /// When the rows were known; by default a first row at its session's close and a correction now.
    #[arg(long, value_name = "RFC3339", value_parser = timestamp)]
    pub known_at: Option<Timestamp>,
    /// Refuse the whole import when a row is quarantined or flagged.
    #[arg(long)]
    pub strict: bool,
    /// Print the counts as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading data check`
#[derive(Debug, Args)]
pub struct Check {
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Print the findings as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading data show`
#[derive(Debug, Args)]
pub struct Show {
    /// Symbol.
    #[arg(value_name = "SYM", value_parser = symbol)]
    pub symbol: Symbol,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// First date.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<SessionDate>,
    /// Last date.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<SessionDate>,
    /// Show what was known at this moment.
    #[arg(long, value_name = "RFC3339", value_parser = timestamp)]
    pub as_of: Option<Timestamp>,
    /// Restate earlier prices for splits, or for splits and dividends.
    #[arg(long, value_enum, default_value_t = Adjust::None)]
    pub adjust: Adjust,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long)]
    pub csv: bool,
}

/// How earlier prices are restated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Adjust {
    /// As printed.
    None,
    /// In shares of the last day.
    Split,
    /// With dividends reinvested.
    Total,
}

/// `algotrading sql`
#[derive(Debug, Args)]
pub struct Sql {
    /// One read-only statement; `-` reads it from standard input.
    pub sql: String,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// How the rows are written.
    #[arg(long, value_parser = ["table", "csv", "json"], default_value = "table")]
    pub format: String,
    /// Threads of the query; with more than one, rows without ORDER BY may change places.
    #[arg(long)]
    pub threads: Option<u16>,
    /// Memory of the query in MiB; larger sorts go to temporary files.
    #[arg(long)]
    pub memory_mib: Option<u32>,
}

/// A run file with its layers.
#[derive(Debug, Args)]
pub struct RunFile {
    /// The run file.
    #[arg(value_name = "RUN.toml")]
    pub run: PathBuf,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Override one key of the run file; may be given more than once.
    #[arg(long, value_name = "section.key=value")]
    pub set: Vec<String>,
}

/// `algotrading backtest`
#[derive(Debug, Args)]
pub struct Backtest {
    /// The run.
    #[command(flatten)]
    pub run_file: RunFile,
    /// Folder for the run; runs/ID unless said.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print fills, trades and metrics as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading lookahead-check`
#[derive(Debug, Args)]
pub struct LookaheadCheck {
    /// The run.
    #[command(flatten)]
    pub run_file: RunFile,
    /// How many dates to cut the data at.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub cuts: u16,
    /// Print the verdict as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of a program beside this one.
#[derive(Debug, Args)]
pub struct PassedOn {
    /// What it is to do.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "WHAT")]
    pub arguments: Vec<String>,
}

/// `algotrading model`
#[derive(Debug, Subcommand)]
pub enum Model {
    /// List the models of a lake with how they did on their test rows.
    #[command(after_help = "\
Examples:
  algotrading model list --lake lake
  algotrading model list --json")]
    List(ModelList),
    /// Show what a model is, what it was trained on and how it did.
    #[command(after_help = "\
Examples:
  algotrading model show forecast --lake lake
  algotrading model show forecast@0123 --json")]
    Show(ModelShow),
    /// Make a version the one that strategies load.
    #[command(after_help = "\
Examples:
  algotrading model promote forecast@0123456789abcdef --lake lake")]
    Promote(ModelShow),
    /// Set the figures of two models side by side.
    #[command(after_help = "\
Examples:
  algotrading model compare forecast@0123 forecast@4567 --lake lake")]
    Compare(ModelCompare),
    /// Keep a model that was trained elsewhere: ONNX, LightGBM's text or XGBoost's JSON.
    ///
    /// It must read the 31 features as they are (docs/models.md) and give probabilities, or logits. Of two files the
    /// first is a classifier of long and the second one of short, whose class 1 is a success. Of one file --columns says
    /// what its answers are.
    #[command(after_help = "\
ONNX runs in the ONNX Runtime, a library that ORT_DYLIB_PATH names (the Python package onnxruntime has it).

Examples:
  algotrading model import long.txt short.txt --name gbm --trained-from 2000-01-03 --trained-to 2009-12-31
  algotrading model import net.onnx --columns long,short --logits --name net --promote
  algotrading model import classes.json --columns short,flat,long --name classes")]
    Import(ModelImport),
}

/// `algotrading model import`
#[derive(Debug, Args)]
pub struct ModelImport {
    /// The model, or the one of long.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The one of short.
    #[arg(value_name = "SHORT_FILE")]
    pub short: Option<PathBuf>,
    /// Its name in the lake.
    #[arg(long)]
    pub name: String,
    /// What the answers of one file are, in their order; long and short must be among them.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", conflicts_with = "short")]
    pub columns: Vec<String>,
    /// The answers are logits.
    #[arg(long)]
    pub logits: bool,
    /// First session it was trained on.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "trained_to")]
    pub trained_from: Option<SessionDate>,
    /// Last session that had any part in its training: a backtest says what is in sample.
    #[arg(long, value_name = "DATE", value_parser = date, requires = "trained_from")]
    pub trained_to: Option<SessionDate>,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Make it the version that strategies load.
    #[arg(long)]
    pub promote: bool,
    /// Print the card as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading model list`
#[derive(Debug, Args)]
pub struct ModelList {
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Print cards as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading model show` and `promote`
#[derive(Debug, Args)]
pub struct ModelShow {
    /// A name, for its promoted version, or name@version; a version may be cut short.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Print the card as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading model compare`
#[derive(Debug, Args)]
pub struct ModelCompare {
    /// One.
    #[arg(value_name = "MODEL")]
    pub one: String,
    /// The other.
    #[arg(value_name = "OTHER")]
    pub other: String,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Print both cards as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading serve-model`
#[derive(Debug, Args)]
pub struct ServeModel {
    /// A name, for its promoted version, or name@version; a version may be cut short.
    pub model: String,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub bind: std::net::SocketAddr,
    /// Largest body, in MiB.
    #[arg(long, default_value_t = 6, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub body_mib: u16,
}

/// `algotrading eod`
#[derive(Debug, Args)]
pub struct Eod {
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// The session.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub date: SessionDate,
    /// Folder of data products, whose new revisions are taken in first.
    #[arg(long, value_name = "DIR")]
    pub exchange: Option<PathBuf>,
    /// Model that scores the session; the promoted `forecast` unless said, if the lake has one.
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading predict`
#[derive(Debug, Args)]
pub struct Predict {
    /// A name, for its promoted version, or name@version.
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Symbols.
    #[arg(value_name = "SYM", required = true, value_parser = symbol)]
    pub symbols: Vec<Symbol>,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// First date of the answer; the features still see what was before.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<SessionDate>,
    /// Last date.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<SessionDate>,
    /// Print JSON.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV.
    #[arg(long)]
    pub csv: bool,
}

/// `algotrading features`
#[derive(Debug, Args)]
pub struct Features {
    /// Symbols.
    #[arg(value_name = "SYM", value_parser = symbol)]
    pub symbols: Vec<Symbol>,
    /// The lake.
    #[command(flatten)]
    pub lake: InLake,
    /// First date of the rows; the features still see what was before.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub from: Option<SessionDate>,
    /// Last date; the outcomes still see what comes after.
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub to: Option<SessionDate>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `algotrading report`
#[derive(Debug, Args)]
pub struct Report {
    /// The folder a backtest wrote.
    #[arg(value_name = "RUN_DIR")]
    pub folder: PathBuf,
    /// Print fills, trades and metrics as JSON.
    #[arg(long)]
    pub json: bool,
}

fn symbol(text: &str) -> Result<Symbol, String> {
    Symbol::new(text).map_err(|error| error.to_string())
}

fn date(text: &str) -> Result<SessionDate, String> {
    SessionDate::parse(text).map_err(|_| "write a date such as 2010-01-29".to_owned())
}

/// A moment; a date is its midnight in UTC, as in the SQL views.
fn timestamp(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")))
        .map_err(|_| "write a moment such as 2014-01-02T15:30:00Z, or a date for its midnight in UTC".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1000.0).contains(rate));
    rate.ok_or_else(|| "write how many sessions in a second, from 0.001 to 1000".to_owned())
}

fn money(text: &str) -> Result<Money, String> {
    let money = Money::parse(text).ok().filter(|money| money.signum() >= 0);
    money.ok_or_else(|| "write an amount of money, 0 or more".to_owned())
}
