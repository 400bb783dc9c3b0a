//! Every metric: its name, how people call it, how it is written, and the sentence that defines it.

/// How a figure is written for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A share, shown in hundredths.
    Percent,
    /// A pure number.
    Ratio,
    /// The account's currency.
    Money,
    /// How many.
    Count,
    /// A session.
    Date,
}

/// What is known of a metric before any run.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) unit: Unit,
    pub(crate) definition: &'static str,
}

const fn entry(name: &'static str, label: &'static str, unit: Unit, definition: &'static str) -> Entry {
    Entry { name, label, unit, definition }
}

/// In the order in which they are shown.
pub(crate) const CATALOGUE: &[Entry] = &[
    entry(
        "final_equity",
        "Final equity",
        Unit::Money,
        "Cash plus the value of all positions after the last session, in the account's currency.",
    ),
    entry(
        "cum_returns_final",
        "Total return",
        Unit::Percent,
        "Growth of the equity from the first session to the last, as a share of the first: the product of one plus each session's return, less one (empyrical).",
    ),
    entry(
        "annual_return",
        "Annual return (CAGR)",
        Unit::Percent,
        "Compound growth of the equity per year of 252 sessions, as a share: the total growth to the power of 252 over the number of returns, less one (empyrical).",
    ),
    entry(
        "annual_volatility",
        "Annual volatility",
        Unit::Percent,
        "Sample standard deviation (ddof 1) of the session returns times the square root of 252, as a share per year (empyrical).",
    ),
    entry(
        "sharpe_ratio",
        "Sharpe ratio",
        Unit::Ratio,
        "Mean of the session returns less the risk-free rate per session, over their sample standard deviation (ddof 1), times the square root of 252 (empyrical).",
    ),
    entry(
        "sortino_ratio",
        "Sortino ratio",
        Unit::Ratio,
        "Mean of the session returns less the risk-free rate per session, times 252, over the yearly downside deviation: the root of the mean square of the returns below that rate, where those above count as zero, times the square root of 252 (empyrical).",
    ),
    entry(
        "calmar_ratio",
        "Calmar ratio",
        Unit::Ratio,
        "Annual return over the size of the maximum drawdown (empyrical).",
    ),
    entry(
        "max_drawdown",
        "Maximum drawdown",
        Unit::Percent,
        "Largest fall of the equity at the end of a session below its highest earlier value, as a share of that value; negative, or zero when it never fell (empyrical).",
    ),
    entry(
        "drawdown_peak",
        "Drawdown peak",
        Unit::Date,
        "Session after which the equity stood at the peak that the maximum drawdown fell from; the first when several stood as high.",
    ),
    entry(
        "drawdown_trough",
        "Drawdown trough",
        Unit::Date,
        "Session after which the maximum drawdown was deepest; the first when several were as deep.",
    ),
    entry(
        "drawdown_recovery",
        "Drawdown recovery",
        Unit::Date,
        "First session after the trough when the equity was back at the peak; null while it is not.",
    ),
    entry(
        "max_drawdown_sessions",
        "Longest drawdown",
        Unit::Count,
        "Largest number of consecutive sessions that ended below the highest earlier equity, whether or not the fall was the deepest (backtrader's DrawDown).",
    ),
    entry(
        "alpha",
        "Alpha",
        Unit::Percent,
        "Return per year that the benchmark does not explain, as a share: one plus the mean of (session return less risk-free rate) less beta times (benchmark return less risk-free rate), to the power of 252, less one (empyrical). The benchmark is the mean total return of the run's symbols, equally weighted each session.",
    ),
    entry(
        "beta",
        "Beta",
        Unit::Ratio,
        "Covariance of the session returns with the benchmark's over the variance of the benchmark's (empyrical). The benchmark is the mean total return of the run's symbols, equally weighted each session.",
    ),
    entry(
        "value_at_risk",
        "Value at risk 95 %",
        Unit::Percent,
        "Fifth percentile of the session returns, interpolated linearly, as a share: one session in twenty was as bad or worse (empyrical, cutoff 0.05).",
    ),
    entry(
        "conditional_value_at_risk",
        "Conditional VaR 95 %",
        Unit::Percent,
        "Mean of the worst twentieth of the session returns, at least one, as a share (empyrical, cutoff 0.05).",
    ),
    entry(
        "tail_ratio",
        "Tail ratio",
        Unit::Ratio,
        "Size of the 95th percentile of the session returns over the size of the fifth (empyrical).",
    ),
    entry(
        "skew",
        "Skewness",
        Unit::Ratio,
        "Third standardised moment of the session returns, corrected for bias as pandas does; negative when the losses have the longer tail (quantstats).",
    ),
    entry(
        "kurtosis",
        "Excess kurtosis",
        Unit::Ratio,
        "Fourth standardised moment of the session returns less that of a normal distribution, corrected for bias as pandas does (quantstats).",
    ),
    entry("best_session", "Best session", Unit::Percent, "Largest session return, as a share (quantstats' best)."),
    entry("worst_session", "Worst session", Unit::Percent, "Smallest session return, as a share (quantstats' worst)."),
    entry(
        "sharpe_ratio_a",
        "Sharpe of years (backtrader)",
        Unit::Ratio,
        "Mean of the calendar-year returns less 0.01, over their population standard deviation (backtrader's SharpeRatio_A with its own settings, which ignore this run's risk-free rate; the first year starts from the equity after the first session).",
    ),
    entry(
        "sqn",
        "SQN (backtrader)",
        Unit::Ratio,
        "System quality number: the mean profit of the closed trades over its population standard deviation, times the square root of their number (backtrader's SQN, null below two trades).",
    ),
    entry("trades", "Closed trades", Unit::Count, "Number of round trips that were closed."),
    entry(
        "win_rate",
        "Win rate",
        Unit::Percent,
        "Share of the closed trades with a profit of zero or more after fees.",
    ),
    entry(
        "profit_factor",
        "Profit factor",
        Unit::Ratio,
        "Sum of the profits of the closed trades that made money over the sum of the losses of those that lost it, after fees; null when none lost.",
    ),
    entry(
        "average_trade",
        "Average trade",
        Unit::Money,
        "Mean profit of the closed trades after fees, in the account's currency.",
    ),
    entry(
        "average_win",
        "Average win",
        Unit::Money,
        "Mean profit of the closed trades with a profit of zero or more after fees, in the account's currency.",
    ),
    entry(
        "average_loss",
        "Average loss",
        Unit::Money,
        "Mean profit of the closed trades that lost money after fees, in the account's currency; negative.",
    ),
    entry("exposure", "Exposure", Unit::Percent, "Share of the sessions that ended with a position."),
    entry(
        "gross_exposure",
        "Gross exposure",
        Unit::Percent,
        "Mean over the sessions of the value of all positions, long and short added, over the equity.",
    ),
    entry(
        "turnover",
        "Turnover",
        Unit::Ratio,
        "Value of all fills, bought and sold, over the mean equity, per year of 252 sessions: 2 is the whole account bought and sold once a year.",
    ),
    entry("fees", "Fees", Unit::Money, "Sum of the fees of all fills, in the account's currency."),
];

/// What is known of a metric.
pub(crate) fn of(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}
