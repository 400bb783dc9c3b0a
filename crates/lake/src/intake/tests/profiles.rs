//! Each shipped profile on a small literal sample of its vendor's.

use super::*;

const ADJUSTED: &str = " flags 4";

/// Rows of a file under a profile asked for by name, for symbol ABC where the rows do not say.
fn read_as(profile: &str, text: &str) -> Vec<String> {
    let (_folder, path) = file("ABC.csv", text);
    let mut input = open(&path, Some(profile), None, now()).unwrap();
    assert_eq!(input.profile(), profile);
    rows(&mut input)
}

/// The same, and the header alone must lead to the same profile.
fn recognised_as(profile: &str, text: &str) -> Vec<String> {
    let (_folder, path) = file("ABC.csv", text);
    assert_eq!(open(&path, None, None, now()).unwrap().profile(), profile);
    read_as(profile, text)
}

#[test]
fn alpha_vantage_daily() {
    let text = "timestamp,open,high,low,close,volume\n2013-03-01,27.05,28.1164,26.81,27.78,54064800\n";
    assert_eq!(recognised_as("alpha_vantage_daily", text), ["ABC 2013-03-01 27.05 28.1164 26.81 27.78 54064800"]);
    let intraday = "timestamp,open,high,low,close,volume\n2013-03-01 16:00:00,27.05,28.1164,26.81,27.78,54064800\n";
    assert_eq!(
        recognised_as("alpha_vantage_daily", intraday),
        ["line 2 unreadable_date: 2013-03-01 16:00:00"],
        "an intraday file has the same header"
    );
}

#[test]
fn quandl_wiki_many_tickers() {
    let text = "ticker,date,open,high,low,close,volume,ex-dividend,split_ratio,adj_open,adj_high,adj_low,adj_close,adj_volume\n\
        AAPL,2005-02-28,44.68,45.14,43.96,44.86,16288400.0,0.0,2.0,5.9,5.9,5.7,5.8,114018800.0\n\
        BRK.A,2005-03-01,90000,90100.5,89900,90050,310.0,0.0,1.0,90000,90100.5,89900,90050,310.0\n\
        A,1999-11-18,45.5,50.0,40.0,44.0,44739900.0,0.125,1.0,31.0,34.1,27.3,30.0,44739900.0\n";
    assert_eq!(
        recognised_as("quandl_wiki", text),
        [
            "AAPL 2005-02-28 44.68 45.14 43.96 44.86 16288400",
            "AAPL 2005-02-28 split 2:1",
            "BRK.A 2005-03-01 90000 90100.5 89900 90050 310",
            "A 1999-11-18 45.5 50 40 44 44739900",
            "A 1999-11-18 dividend 0.125",
        ]
    );
}

#[test]
fn quandl_wiki_one_ticker() {
    let text = "Date,Open,High,Low,Close,Volume,Ex-Dividend,Split Ratio,Adj. Open,Adj. High,Adj. Low,Adj. Close,Adj. Volume\n\
        2013-03-01,438,438.18,429.98,430.47,19730300.0,0.0,1.0,1,1,1,1,1\n";
    assert_eq!(recognised_as("quandl_wiki_symbol", text), ["ABC 2013-03-01 438 438.18 429.98 430.47 19730300"]);
    let (_folder, path) = file("WIKI-AAPL.csv", text);
    assert!(rows(&mut open(&path, None, None, now()).unwrap())[0].starts_with("AAPL "));
}

#[test]
fn yahoo_since_2017() {
    let text = "Date,Open,High,Low,Close,Adj Close,Volume\n\
        2013-03-01,15.642857,15.649285,15.356428,15.373929,13.218858,552448000\n\
        2013-03-04,null,null,null,null,null,null\n\
        2013-03-05,15.642857142857142,15.649285316467285,15.356428146362305,15.373929023742676,13.2,552448000\n";
    assert_eq!(
        recognised_as("yahoo", text),
        [
            &format!("ABC 2013-03-01 15.642857 15.649285 15.356428 15.373929 552448000{ADJUSTED}"),
            "line 3 null_value: open null",
            &format!("ABC 2013-03-05 15.642857143 15.649285316 15.356428146 15.373929024 552448000{ADJUSTED}"),
        ]
    );
}

#[test]
fn yahoo_before_2017() {
    let text = "Date,Open,High,Low,Close,Volume,Adj Close\n2013-03-01,438.00,438.18,429.98,430.47,138112100,56.2\n";
    assert_eq!(recognised_as("yahoo_ichart", text), ["ABC 2013-03-01 438 438.18 429.98 430.47 138112100"]);
}

#[test]
fn yfinance_dates_have_a_zone_and_its_actions_are_already_in_the_prices() {
    let text = "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n\
        2020-08-31 00:00:00-04:00,124.2,127.6,122.8,125.7,225702700,0.0,4.0\n\
        2020-11-06 00:00:00-05:00,115.1,116.0,113.0,115.5,114457900,0.205,0.0\n";
    assert_eq!(
        recognised_as("yfinance", text),
        [
            format!("ABC 2020-08-31 124.2 127.6 122.8 125.7 225702700{ADJUSTED}"),
            format!("ABC 2020-11-06 115.1 116 113 115.5 114457900{ADJUSTED}"),
        ]
    );
}

#[test]
fn yfinance_unadjusted_has_dividends_to_apply_but_no_splits() {
    let text = "Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n\
        2020-08-31 00:00:00-04:00,124.2,127.6,122.8,125.7,120,225702700,0.0,4.0\n\
        2020-11-06 00:00:00-05:00,115.1,116.0,113.0,115.5,115,114457900,0.205,0.0\n";
    assert_eq!(
        recognised_as("yfinance_unadjusted", text),
        [
            format!("ABC 2020-08-31 124.2 127.6 122.8 125.7 225702700{ADJUSTED}"),
            format!("ABC 2020-11-06 115.1 116 113 115.5 114457900{ADJUSTED}"),
            "ABC 2020-11-06 dividend 0.205".into(),
        ]
    );
}

#[test]
fn the_header_of_many_is_read_as_asked() {
    let text = "Date,Open,High,Low,Close,Volume\n2013-03-01,27.05,28.1164,26.81,27.78,54064800\n";
    let bar = "ABC 2013-03-01 27.05 28.1164 26.81 27.78 54064800";
    assert_eq!(read_as("ohlcv_raw", text), [bar]);
    for profile in ["stooq", "ohlcv_split_adjusted", "ohlcv_total_adjusted"] {
        assert_eq!(read_as(profile, text), [format!("{bar}{ADJUSTED}")], "{profile}");
    }
    let (_folder, path) = file("fb.us.txt", text);
    assert_eq!(
        rows(&mut open(&path, Some("stooq"), None, now()).unwrap()),
        [format!("{bar}{ADJUSTED}").replace("ABC", "FB")]
    );
}

#[test]
fn stooq_bulk_takes_daily_rows_only_and_cuts_the_country_off() {
    let text = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n\
        AAPL.US,D,20130301,000000,13.3,13.4,13.1,13.2,644736022.5,0\n\
        AAPL.US,5,20130301,153500,13.3,13.4,13.1,13.2,644736,0\n";
    assert_eq!(
        recognised_as("stooq_bulk", text),
        ["AAPL 2013-03-01 13.3 13.4 13.1 13.2 644736022 flags 12", "line 3 unreadable_row: <per> 5"]
    );
}

#[test]
fn finam() {
    let text = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n\
        AAPL,D,20130301,000000,438.00000,438.18000,429.98000,430.47000,19730300\n";
    assert_eq!(recognised_as("finam", text), ["AAPL 2013-03-01 438 438.18 429.98 430.47 19730300"]);
}

#[test]
fn tiingo_puts_the_close_first() {
    let row = "2020-08-31T00:00:00.000Z,129.04,131.0,126.0,127.58,225702700,1,1,1,1,1,0.0,4.0\n\
               2020-09-01,134.18,134.8,130.53,132.76,151948100,1,1,1,1,1,0.5,1.0\n";
    let header = "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n";
    let bars = [
        "ABC 2020-08-31 127.58 131 126 129.04 225702700",
        "ABC 2020-08-31 split 4:1",
        "ABC 2020-09-01 132.76 134.8 130.53 134.18 151948100",
        "ABC 2020-09-01 dividend 0.5",
    ];
    assert_eq!(recognised_as("tiingo", &format!("{header}{row}")), bars);
    let bulk = format!("ticker,{header}abc,{}", row.replace("\n2020", "\nabc,2020"));
    assert_eq!(recognised_as("tiingo_bulk", &bulk), bars);
}

#[test]
fn polygon_days_begin_at_midnight_in_new_york() {
    // 2023-11-03 04:00 and 2023-11-06 05:00 UTC: either side of the change of the clocks.
    let text = "ticker,volume,open,close,high,low,window_start,transactions\n\
        A,1500.5,110,111,112,109,1698984000000000000,99\n\
        A,1500,110,111,112,109,1699246800000000000,99\n\
        BACpB,1500,110,111,112,109,1699246800000000000,99\n";
    assert_eq!(
        recognised_as("polygon_day_aggs", text),
        ["A 2023-11-03 110 112 109 111 1500 flags 8", "A 2023-11-06 110 112 109 111 1500", "line 4 bad_symbol: BACpB"]
    );
}

#[test]
fn sharadar_prices_become_raw_again() {
    let text = "ticker,date,open,high,low,close,volume,closeadj,closeunadj,lastupdated\n\
        AAPL,2013-03-01,15.643,15.649,15.356,15.374,552448000,13.2,430.47,2020-09-01\n\
        XYZ,2013-03-01,100,110,90,105,1000,105,10.5,2020-09-01\n\
        IBM,2013-03-01,200.65,202.94,199.36,202.91,3309000,150,202.91,2020-09-01\n";
    assert_eq!(
        recognised_as("sharadar_sep", text),
        [
            // Split 7:1 and 4:1 since: 28 times the prices, a 28th of the volume.
            "AAPL 2013-03-01 438.004 438.172 429.968 430.47 19730286",
            // A reverse split, 1 for 10.
            "XYZ 2013-03-01 10 11 9 10.5 10000",
            "IBM 2013-03-01 200.65 202.94 199.36 202.91 3309000",
        ]
    );
}

#[test]
fn eodhd() {
    let text = "Date,Open,High,Low,Close,Adjusted_close,Volume\n2013-03-01,438,438.18,429.98,430.47,13.2,552448000\n";
    assert_eq!(recognised_as("eodhd", text), ["ABC 2013-03-01 438 438.18 429.98 430.47 552448000"]);
}

#[test]
fn databento_prices_are_decimals_or_billionths_and_its_days_are_utc() {
    let text = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n\
        2023-11-01T00:00:00.000000000Z,35,2,38,171.000000000,174.230000000,170.120000000,173.970000000,56934900,AAPL\n\
        1698796800000000000,35,2,38,171000000000,174230000000,170120000000,173970000000,56934900,AAPL\n\
        1698845400000000000,33,2,38,171000000000,174230000000,170120000000,173970000000,56934900,AAPL\n";
    let bar = "AAPL 2023-11-01 171 174.23 170.12 173.97 56934900";
    assert_eq!(recognised_as("databento_ohlcv_1d", text), [bar, bar, "line 4 unreadable_row: rtype 33"]);
}

#[test]
fn zipline_csvdir() {
    let text = "date,open,high,low,close,volume,dividend,split\n2013-03-01,438,438.18,429.98,430.47,100,2.65,7.0\n";
    assert_eq!(
        recognised_as("zipline_csvdir", text),
        ["ABC 2013-03-01 438 438.18 429.98 430.47 100", "ABC 2013-03-01 dividend 2.65", "ABC 2013-03-01 split 7:1"]
    );
}

#[test]
fn kaggle_huge_stock_market() {
    let text = "Date,Open,High,Low,Close,Volume,OpenInt\n2013-03-01,55.7,55.8,54.8,54.9,155000000,0\n";
    assert_eq!(
        recognised_as("kaggle_huge_stock_market", text),
        [format!("ABC 2013-03-01 55.7 55.8 54.8 54.9 155000000{ADJUSTED}")]
    );
}

#[test]
fn every_shipped_profile_is_read_from_its_own_header() {
    for profile in profiles() {
        for header in profile.headers() {
            let (_folder, path) = file("ABC.csv", format!("{}\n\n", header.join(&profile.delimiter.to_string())));
            let error = open(&path, Some(profile.name()), None, now()).err().map(|error| error.to_string());
            assert!(error.is_some_and(|error| error.contains("header but no rows")), "{}", profile.name());
        }
    }
}

#[test]
fn a_profile_of_ones_own_is_a_file() {
    let toml =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/profiles/workshop.toml")).unwrap();
    let toml = toml
        .replace("name = \"workshop\"", "name = \"mine\"\ndelimiter = \";\"")
        .replace("dt,sym,open,high,low,close,vol", "dt;sym;open;high;low;close;vol;note");
    let (folder, path) = file("x.csv", "DT;Sym; Open;HIGH;\"low\";close;vol;note\n2013-03-01;fb;1;2;1;1;5;\"a;b\"\n");
    let own = folder.path().join("mine.toml");
    std::fs::write(&own, toml).unwrap();
    let mut input = open(&path, own.to_str(), None, now()).unwrap();
    assert_eq!((input.profile(), input.provider(), input.data_set()), ("mine", "workshop", "hist_data_daily"));
    assert_eq!(rows(&mut input), ["FB 2013-03-01 1 2 1 1 5"]);
}
