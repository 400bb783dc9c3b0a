//! Trino's functions: every documented example, nulls, and values they cannot use.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use algotrading_sql::functions::{REFERENCE, markdown};
use algotrading_sql::output::{Format, write};
use algotrading_sql::{Options, Session};
use support::sample;

async fn ask(session: &Session, sql: &str) -> Result<String, String> {
    let mut rows = session.query(sql).await.map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    write(&mut rows, Format::Table, &mut out).await.map_err(|error| error.to_string())?;
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.last(), Some(&"(1 row)"), "{sql}: {text}");
    Ok(lines[2].trim().to_owned())
}

/// Planning descends deeply in an unoptimised build, so the tests get the stack the binary has.
fn with_session<F>(body: impl FnOnce(Session) -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let lake = sample();
    let path = lake.path().to_str().unwrap().to_owned();
    let worker = std::thread::Builder::new().stack_size(64 << 20).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = Session::open(&path, Options::default()).await.unwrap();
            body(session).await;
        });
    });
    if let Err(panic) = worker.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn every_documented_example_gives_the_documented_result() {
    with_session(|session| async move {
        let mut wrong = Vec::new();
        for entry in REFERENCE {
            let sql = match entry.example.starts_with("SELECT") {
                true => entry.example.to_owned(),
                false => format!("SELECT {}", entry.example),
            };
            let found = ask(&session, &sql).await;
            if found.as_deref() != Ok(entry.result) {
                wrong.push(format!("{}: {found:?}, documented {}", entry.example, entry.result));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_null_argument_gives_null() {
    with_session(|session| async move {
        let mut wrong = Vec::new();
        for expression in [
            "date_parse(NULL, '%Y')",
            "date_parse('2012', NULL)",
            "date_format(NULL, '%Y')",
            "date_format(date '2012-01-01', NULL)",
            "parse_datetime(NULL, 'yyyy')",
            "format_datetime(NULL, 'yyyy')",
            "from_iso8601_date(NULL)",
            "from_iso8601_timestamp(NULL)",
            "to_iso8601(NULL)",
            "date(NULL)",
            "from_unixtime(NULL)",
            "to_unixtime(NULL)",
            "date_trunc('day', NULL)",
            "date_trunc(NULL, date '2012-01-01')",
            "date_add('day', NULL, date '2012-01-01')",
            "date_add('day', 1, NULL)",
            "date_diff('day', NULL, date '2012-01-01')",
            "last_day_of_month(NULL)",
            "year(NULL)",
            "quarter(NULL)",
            "month(NULL)",
            "week(NULL)",
            "day(NULL)",
            "day_of_week(NULL)",
            "day_of_year(NULL)",
            "hour(NULL)",
            "sign(NULL)",
            "truncate(NULL)",
            "mod(NULL, 2)",
            "power(NULL, 2)",
            "power(2, NULL)",
            "ln(NULL)",
            "log10(NULL)",
            "is_nan(NULL)",
            "is_finite(NULL)",
            "width_bucket(NULL, 0, 1, 2)",
            "greatest(1, NULL)",
            "least(NULL, 1)",
            "split_part(NULL, ',', 1)",
            "split_part('a', ',', NULL)",
            "split(NULL, ',')",
            "strpos(NULL, 'a')",
            "regexp_like(NULL, 'a')",
            "regexp_extract(NULL, 'a')",
            "regexp_extract('b', 'a')",
            "regexp_replace(NULL, 'a', 'b')",
            "json_extract_scalar(NULL, '$.a')",
            "json_extract_scalar('no json', '$.a')",
            "json_extract_scalar('{\"a\": null}', '$.a')",
            "json_array_length('{}')",
            "cardinality(NULL)",
            "element_at(ARRAY[1], 2)",
            "element_at(ARRAY[1], NULL)",
            "if(NULL, 1)",
            "if(1 = 2, 1)",
            "try_cast('2012-13-01' AS date)",
        ] {
            let found = ask(&session, &format!("SELECT {expression}")).await;
            if found.as_deref() != Ok("NULL") {
                wrong.push(format!("{expression}: {found:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn a_value_that_cannot_be_used_is_named_in_one_line() {
    with_session(|session| async move {
        let mut wrong = Vec::new();
        for (expression, words) in [
            ("date_parse('2012-13-01', '%Y-%m-%d')", "`2012-13-01` does not fit the pattern `%Y-%m-%d`"),
            ("date_parse('2012', '%Q%U')", "%U is not supported"),
            ("date_parse(5, '%Y')", "argument 1 must be a varchar, not bigint"),
            ("date_parse('2012')", "date_parse takes 2 arguments, found 1"),
            ("date_format('2012-01-01', '%Y')", "must be a date or timestamp, not varchar"),
            ("format_datetime(date '2012-01-01', 'QQ')", "`QQ` is not supported"),
            ("from_iso8601_date('29.02.2012')", "`29.02.2012` is no ISO 8601 date"),
            ("from_iso8601_timestamp('x')", "`x` is no ISO 8601 timestamp"),
            ("from_unixtime(1e300)", "outside the calendar"),
            ("year('2012-01-01')", "convert the text first"),
            ("date_trunc('decade', date '2012-01-01')", "`decade` is no unit"),
            ("date_trunc('hour', date '2012-01-01')", "a date has no hour"),
            ("date_add('day', 9223372036854775807, date '2012-01-01')", "outside the calendar"),
            ("date_add('year', 9223372036854775807, date '2012-01-01')", "outside the calendar"),
            ("date_diff('x', date '2012-01-01', date '2012-01-01')", "`x` is no unit"),
            ("width_bucket(1, 2, 2, 3)", "width_bucket"),
            ("split_part('a', ',', 0)", "starts at 1"),
            ("split('a', '')", "delimiter"),
            ("regexp_extract('a', '(')", "no regular expression"),
            ("regexp_extract('a', 'a', 3)", "no such group"),
            ("json_extract_scalar('{}', 'a.b')", "cannot read the path `a.b`"),
            ("element_at(ARRAY[1], 0)", "counted from 1"),
            ("element_at(5, 0)", "must be an array or a map"),
            ("if(true)", "write if("),
            ("mod(1)", "write mod("),
            ("count_if(1)", "must be a boolean"),
            ("no_such_function(1)", "no_such_function"),
            ("cast('x' AS bigint)", "x"),
            ("1 / 0", "ivide by zero"),
        ] {
            match ask(&session, &format!("SELECT {expression}")).await {
                Err(text) if text.contains(words) && !text.contains('\n') => {}
                found => wrong.push(format!("{expression}: {found:?}, wanted {words}")),
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

#[test]
fn functions_work_on_columns_and_not_only_on_constants() {
    with_session(|session| async move {
        for (sql, wanted) in [
            ("SELECT sum(day_of_week(cast(dt AS date))) FROM hist_data_daily", "25"),
            ("SELECT count(DISTINCT date_format(date_parse(dt, '%Y-%m-%d'), '%M %Y')) FROM hist_data_daily", "2"),
            ("SELECT max(date_diff('day', from_iso8601_date(dt), date '2012-01-31')) FROM hist_data_daily", "33"),
            ("SELECT sum(greatest(close, 200e0)) FROM hist_data_daily WHERE sym = 'IBM'", "400.0"),
            ("SELECT max_by(dt, close) FROM hist_data_daily", "2011-12-30"),
            ("SELECT min_by(dt, vol) FROM hist_data_daily WHERE sym = 'AAPL'", "2011-12-29"),
            ("SELECT count_if(close > 300) FROM hist_data_daily", "2"),
            (
                "SELECT max(c) FROM (SELECT count_if(close > 300) OVER (ORDER BY dt, sym ROWS 1 PRECEDING) AS c FROM hist_data_daily)",
                "2",
            ),
            ("SELECT approx_percentile(close, 0.5) FROM hist_data_daily", "202.0"),
            (
                "SELECT sum(element_at(split(dt, '-'), 1) = '2012') FROM (SELECT dt FROM hist_data_daily LIMIT 0)",
                "NULL",
            ),
            ("SELECT count(*) FROM hist_data_daily WHERE contains(ARRAY['IBM', 'MSFT'], sym)", "2"),
            ("SELECT sum(if(sym = 'IBM', 1, 0)) FROM hist_data_daily", "2"),
            ("SELECT max(split_part(dt, '-', 3)) FROM hist_data_daily", "30"),
            ("SELECT max(width_bucket(close, 0, 500, 5)) FROM hist_data_daily", "5"),
            ("SELECT round(sum(ln(close)), 6) FROM bars_daily WHERE sym = 'IBM'", "10.391454"),
            ("SELECT count(*) FROM bars_daily WHERE known_at > from_iso8601_timestamp('2012-12-31T00:00:00Z')", "1"),
            (
                "SELECT count(*) FROM hist_data_daily WHERE date(dt) BETWEEN date '2012-01-01' AND date '2012-12-31'",
                "5",
            ),
            (
                "SELECT is_nan(sqrt(min(close) - 1000)) AND is_nan(ln(-1)) AND ln(0) = -infinity() FROM hist_data_daily",
                "true",
            ),
            ("SELECT typeof(dt) FROM bars_daily LIMIT 1", "date"),
        ] {
            match ask(&session, sql).await {
                Ok(found) => assert_eq!(found, wanted, "{sql}"),
                Err(error) if sql.contains("LIMIT 0") => assert!(!error.contains('\n'), "{error}"),
                Err(error) => panic!("{sql}: {error}"),
            }
        }
    });
}

#[test]
fn no_argument_makes_a_function_panic() {
    const FUNCTIONS: &str = "date_parse date_format parse_datetime format_datetime from_iso8601_date
        from_iso8601_timestamp to_iso8601 date from_unixtime to_unixtime date_trunc date_add date_diff
        last_day_of_month year quarter month week year_of_week day day_of_week day_of_year hour minute second
        millisecond sign truncate mod power is_nan is_finite width_bucket greatest least split_part split
        regexp_extract regexp_replace json_extract_scalar json_extract json_array_length cardinality element_at
        contains if typeof count_if max_by min_by geometric_mean skewness kurtosis approx_percentile";
    const ARGUMENTS: [&str; 30] = [
        "NULL",
        "0",
        "1",
        "-1",
        "9223372036854775807",
        "-9223372036854775807 - 1",
        "0.5",
        "-1e308",
        "1e308",
        "nan()",
        "infinity()",
        "''",
        "'é'",
        "'day'",
        "'month'",
        "'millisecond'",
        "'%Y-%m-%d'",
        "'%y%j%f%p'",
        "'yyyy-MM-dd''T'''",
        "'2012-02-30'",
        "'[1,2]'",
        "'$.a[0]'",
        "'('",
        "date '2012-02-29'",
        "date '9999-12-31'",
        "timestamp '0001-01-01 00:00:00'",
        "from_unixtime(8.2e12)",
        "from_unixtime(-8.3e12)",
        "ARRAY[1, NULL]",
        "true",
    ];
    // A fixed sequence of pseudo-random numbers, so that a failure comes again.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut pick = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut queries = Vec::new();
    for function in FUNCTIONS.split_whitespace() {
        for _ in 0..60 {
            let count = pick(4) + 1;
            let args: Vec<&str> = (0..count).map(|_| ARGUMENTS[pick(ARGUMENTS.len())]).collect();
            queries.push(format!("SELECT {function}({})", args.join(", ")));
        }
        for argument in ARGUMENTS {
            queries.push(format!("SELECT {function}({argument})"));
        }
    }
    with_session(|session| async move {
        let mut answered = 0;
        for sql in queries {
            match ask(&session, &sql).await {
                Ok(_) => answered += 1,
                Err(error) => assert!(!error.contains('\n') && !error.contains("panic"), "{sql}: {error}"),
            }
        }
        assert!(answered > 300, "only {answered} queries made sense");
    });
}

#[test]
fn the_documentation_lists_exactly_what_is_supported() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (start, end) = ("<!-- functions: made by the test below -->\n", "<!-- end of functions -->\n");
    let from = text.find(start).expect("docs/sql.md has the start mark") + start.len();
    let to = text.find(end).expect("docs/sql.md has the end mark");
    if text[from..to] == markdown() {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let updated = format!("{}{}{}", &text[..from], markdown(), &text[to..]);
        std::fs::write(&path, updated).unwrap();
        return;
    }
    panic!("docs/sql.md is behind the code: run UPDATE_DOCS=1 cargo nextest run -p algotrading-sql documentation");
}
