//! Every supported function with an example; a test runs each, and `docs/sql.md` is made from it.

use std::fmt::Write;

/// One supported function.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Heading it is listed under.
    pub group: &'static str,
    /// How it is written.
    pub syntax: &'static str,
    /// An expression, or a whole query where one is needed.
    pub example: &'static str,
    /// What the example gives, as CSV shows it; `NULL` for null.
    pub result: &'static str,
    /// What is worth knowing, above all where Trino differs.
    pub note: &'static str,
}

const fn entry(
    group: &'static str,
    syntax: &'static str,
    example: &'static str,
    result: &'static str,
    note: &'static str,
) -> Entry {
    Entry { group, syntax, example, result, note }
}

const DATES: &str = "Dates and timestamps";
const NUMBERS: &str = "Numbers";
const TEXTS: &str = "Text";
const JSON: &str = "JSON";
const LISTS: &str = "Arrays and maps";
const CHOICE: &str = "Choice, null, types";
const AGGREGATES: &str = "Aggregates";
const WINDOWS: &str = "Windows";

/// Everything that is supported, by group.
pub const REFERENCE: &[Entry] = &[
    entry(
        DATES,
        "date_parse(text, pattern)",
        "date_parse('2012-02-29 13:04', '%Y-%m-%d %H:%i')",
        "2012-02-29T13:04:00",
        "MySQL pattern: %Y %y %x %m %c %M %b %d %e %j %v %W %a %H %k %h %I %l %i %s %S %f %p %T %r %%. Text that does not fit is an error.",
    ),
    entry(
        DATES,
        "date_format(time, pattern)",
        "date_format(timestamp '2012-02-29 13:04:05', '%d %b %Y %r')",
        "29 Feb 2012 01:04:05 PM",
        "The same patterns.",
    ),
    entry(
        DATES,
        "parse_datetime(text, pattern)",
        "parse_datetime('29/02/2012', 'dd/MM/yyyy')",
        "2012-02-29T00:00:00Z",
        "Joda pattern: y x M d D w E H h m s S a Z and 'quoted text'; UTC.",
    ),
    entry(
        DATES,
        "format_datetime(time, pattern)",
        "format_datetime(timestamp '2012-02-29 13:04:05', 'EEE d MMM yyyy HH:mm')",
        "Wed 29 Feb 2012 13:04",
        "The same patterns.",
    ),
    entry(
        DATES,
        "from_iso8601_date(text)",
        "from_iso8601_date('2012-W09-3')",
        "2012-02-29",
        "By day, week or ordinal.",
    ),
    entry(
        DATES,
        "from_iso8601_timestamp(text)",
        "from_iso8601_timestamp('2012-02-29T13:00:00-05:00')",
        "2012-02-29T18:00:00Z",
        "Kept as UTC; Trino keeps the offset.",
    ),
    entry(DATES, "to_iso8601(time)", "to_iso8601(timestamp '2012-02-29 13:04:05')", "2012-02-29T13:04:05.000", ""),
    entry(DATES, "date(x)", "date('2012-02-29')", "2012-02-29", "Of text, date or timestamp."),
    entry(
        DATES,
        "from_unixtime(seconds)",
        "from_unixtime(1330520645.25)",
        "2012-02-29T13:04:05.250Z",
        "Milliseconds, UTC.",
    ),
    entry(DATES, "to_unixtime(time)", "to_unixtime(timestamp '2012-02-29 13:04:05')", "1330520645.0", ""),
    entry(
        DATES,
        "date_trunc(unit, time)",
        "date_trunc('month', date '2012-02-29')",
        "2012-02-01",
        "millisecond, second, minute, hour, day, week (Monday), month, quarter, year. A date stays a date.",
    ),
    entry(
        DATES,
        "date_add(unit, n, time)",
        "date_add('month', 1, date '2012-01-31')",
        "2012-02-29",
        "The same units; a month keeps the day where it has it.",
    ),
    entry(
        DATES,
        "date_diff(unit, from, to)",
        "date_diff('month', date '2012-01-31', date '2012-04-30')",
        "3",
        "Whole units.",
    ),
    entry(DATES, "last_day_of_month(time)", "last_day_of_month(date '2012-02-03')", "2012-02-29", ""),
    entry(DATES, "year(time)", "year(date '2012-02-29')", "2012", "Not of text, as in Trino."),
    entry(DATES, "quarter(time)", "quarter(date '2012-02-29')", "1", ""),
    entry(DATES, "month(time)", "month(date '2012-02-29')", "2", ""),
    entry(DATES, "week(time), week_of_year(time)", "week(date '2012-01-01')", "52", "ISO week."),
    entry(DATES, "year_of_week(time), yow(time)", "year_of_week(date '2012-01-01')", "2011", "Year of the ISO week."),
    entry(DATES, "day(time), day_of_month(time)", "day(date '2012-02-29')", "29", ""),
    entry(DATES, "day_of_week(time), dow(time)", "day_of_week(date '2012-02-29')", "3", "Monday is 1."),
    entry(DATES, "day_of_year(time), doy(time)", "day_of_year(date '2012-02-29')", "60", ""),
    entry(DATES, "hour(time)", "hour(timestamp '2012-02-29 13:04:05')", "13", ""),
    entry(DATES, "minute(time)", "minute(timestamp '2012-02-29 13:04:05')", "4", ""),
    entry(DATES, "second(time)", "second(timestamp '2012-02-29 13:04:05')", "5", ""),
    entry(DATES, "millisecond(time)", "millisecond(from_unixtime(0.25))", "250", ""),
    entry(DATES, "extract(field FROM time)", "extract(year FROM date '2012-02-29')", "2012", ""),
    entry(DATES, "time + interval", "date '2012-01-31' + interval '1' month", "2012-02-29", ""),
    entry(
        DATES,
        "current_date, now()",
        "now() >= timestamp '2020-01-01 00:00:00'",
        "true",
        "The same for all rows of a query.",
    ),
    entry(NUMBERS, "abs(x)", "abs(-2)", "2", ""),
    entry(NUMBERS, "ceil(x), ceiling(x)", "ceiling(1.2)", "2.0", ""),
    entry(NUMBERS, "floor(x)", "floor(-1.2)", "-2.0", ""),
    entry(NUMBERS, "round(x[, digits])", "round(1.005e0 * 100, 1)", "100.5", ""),
    entry(NUMBERS, "truncate(x[, digits])", "truncate(-1.29, 1)", "-1.2", ""),
    entry(NUMBERS, "sign(x)", "sign(-2.5)", "-1.0", "A double."),
    entry(NUMBERS, "mod(a, b)", "mod(7, 3)", "1", ""),
    entry(NUMBERS, "power(x, y), pow(x, y)", "power(2, -1)", "0.5", "A double."),
    entry(NUMBERS, "sqrt(x), cbrt(x)", "sqrt(2.25)", "1.5", ""),
    entry(NUMBERS, "exp(x), ln(x)", "exp(ln(1))", "1.0", ""),
    entry(NUMBERS, "log2(x), log10(x)", "log10(1000)", "3.0", ""),
    entry(NUMBERS, "log(base, x)", "log(2, 8.0)", "3.0", ""),
    entry(NUMBERS, "pi(), e()", "floor(e() * 1000)", "2718.0", ""),
    entry(
        NUMBERS,
        "sin, cos, tan, asin, acos, atan, atan2, sinh, cosh, tanh, degrees, radians",
        "degrees(pi())",
        "180.0",
        "",
    ),
    entry(NUMBERS, "nan(), infinity()", "is_nan(nan() + infinity())", "true", "JSON shows both as null."),
    entry(NUMBERS, "is_nan(x)", "is_nan(0e0 / 0e0)", "true", ""),
    entry(NUMBERS, "is_finite(x), is_infinite(x)", "is_finite(infinity())", "false", ""),
    entry(NUMBERS, "width_bucket(x, low, high, n)", "width_bucket(5.3, 0.2, 10.6, 5)", "3", "0 below, n + 1 above."),
    entry(NUMBERS, "random(), rand()", "random() < 1", "true", "Another number each time."),
    entry(TEXTS, "length(text)", "length('AAPL')", "4", "Characters."),
    entry(TEXTS, "lower(text), upper(text)", "upper('aapl')", "AAPL", ""),
    entry(TEXTS, "trim(text), ltrim(text), rtrim(text)", "trim('  AAPL ')", "AAPL", ""),
    entry(
        TEXTS,
        "substr(text, start[, length]), substring",
        "substr('2012-02-29', 1, 4)",
        "2012",
        "Counted from 1; a negative start does not count from the end as in Trino.",
    ),
    entry(
        TEXTS,
        "concat(a, b, ...)",
        "concat('a', 'b')",
        "ab",
        "Passes over nulls; Trino gives null. `||` is null with null in both.",
    ),
    entry(TEXTS, "concat_ws(separator, a, b, ...)", "concat_ws('/', 'a', NULL, 'b')", "a/b", ""),
    entry(TEXTS, "replace(text, from, to)", "replace('BRK.B', '.', '-')", "BRK-B", ""),
    entry(TEXTS, "reverse(text), repeat(text, n)", "reverse('abc')", "cba", ""),
    entry(TEXTS, "lpad(text, n, fill), rpad(text, n, fill)", "lpad('7', 3, '0')", "007", ""),
    entry(TEXTS, "strpos(text, part), position(part IN text)", "strpos('AAPL', 'PL')", "3", "0 when absent."),
    entry(TEXTS, "split_part(text, delimiter, n)", "split_part('a,b', ',', 3)", "NULL", "Null past the last part."),
    entry(TEXTS, "split(text, delimiter[, limit])", "split('a,b,c', ',', 2)", "[a, b,c]", ""),
    entry(TEXTS, "starts_with(text, part)", "starts_with('AAPL', 'AA')", "true", ""),
    entry(
        TEXTS,
        "regexp_like(text, pattern)",
        "regexp_like('AAPL', '^A+P')",
        "true",
        "Patterns of Rust's regex crate: no look-around, no back-references.",
    ),
    entry(
        TEXTS,
        "regexp_extract(text, pattern[, group])",
        "regexp_extract('AAPL-2012', '([A-Z]+)-(\\d+)', 2)",
        "2012",
        "",
    ),
    entry(
        TEXTS,
        "regexp_replace(text, pattern[, replacement])",
        "regexp_replace('a1b22', '(\\d)', '<$1>')",
        "a<1>b<2><2>",
        "Every match.",
    ),
    entry(TEXTS, "regexp_count(text, pattern)", "regexp_count('a1b22', '\\d')", "3", ""),
    entry(TEXTS, "translate(text, from, to)", "translate('a.b', '.', '_')", "a_b", ""),
    entry(TEXTS, "levenshtein_distance(a, b)", "levenshtein_distance('close', 'clsoe')", "2", ""),
    entry(TEXTS, "chr(n)", "chr(65)", "A", ""),
    entry(
        JSON,
        "json_extract_scalar(json, path)",
        "json_extract_scalar('{\"a\":{\"b\":[1,2.5]}}', '$.a.b[1]')",
        "2.5",
        "Paths $.a.b, $.a[0], $[\"a b\"]. Null for no JSON, no match, arrays and objects.",
    ),
    entry(JSON, "json_extract(json, path)", "json_extract('{\"a\":[1,2]}', '$.a')", "[1,2]", "As varchar."),
    entry(JSON, "json_array_length(json)", "json_array_length('[1,2]')", "2", ""),
    entry(LISTS, "ARRAY[...], array[i]", "ARRAY[10, 20, 30][2]", "20", ""),
    entry(LISTS, "cardinality(x)", "cardinality(ARRAY[1, NULL, 3])", "3", ""),
    entry(
        LISTS,
        "element_at(array, i), element_at(map, key)",
        "element_at(ARRAY['a', 'b', 'c'], -1)",
        "c",
        "Null past the end, from the end when negative.",
    ),
    entry(LISTS, "contains(array, x)", "contains(ARRAY['AAPL', 'IBM'], 'IBM')", "true", ""),
    entry(LISTS, "sequence(from, to[, step])", "sequence(1, 3)", "[1, 2, 3]", ""),
    entry(LISTS, "array_join(array, separator)", "array_join(ARRAY['a', 'b'], '+')", "a+b", ""),
    entry(
        LISTS,
        "array_distinct, array_sort, array_max, array_min, array_position, array_union, array_intersect, array_except, flatten",
        "array_max(ARRAY[1, 3, 2])",
        "3",
        "",
    ),
    entry(LISTS, "UNNEST(array)", "SELECT sum(x) FROM UNNEST(ARRAY[1, 2, 3]) AS t(x)", "6", "Not WITH ORDINALITY."),
    entry(CHOICE, "if(condition, a[, b])", "if(1 > 2, 1 / 0)", "NULL", "Evaluates only the branch taken."),
    entry(CHOICE, "coalesce(a, b, ...), nullif(a, b)", "coalesce(NULL, 2)", "2", ""),
    entry(CHOICE, "greatest(a, b, ...), least(a, b, ...)", "greatest(1, NULL, 3)", "NULL", "Null with any null."),
    entry(CHOICE, "CASE, BETWEEN, IN, LIKE, IS DISTINCT FROM", "CASE WHEN 'AAPL' LIKE 'A%' THEN 1 ELSE 0 END", "1", ""),
    entry(
        CHOICE,
        "cast(x AS type), try_cast(x AS type)",
        "try_cast('x' AS bigint)",
        "NULL",
        "varchar, bigint, integer, double, real, decimal(p,s), boolean, date, timestamp.",
    ),
    entry(CHOICE, "typeof(x)", "typeof(date '2012-02-29')", "date", "Trino's names."),
    entry(
        AGGREGATES,
        "count, sum, avg, min, max",
        "SELECT avg(x) FROM (VALUES (1), (2)) AS t(x)",
        "1.5",
        "With DISTINCT and FILTER (WHERE ...).",
    ),
    entry(
        AGGREGATES,
        "count_if(condition)",
        "SELECT count_if(x > 1) FROM (VALUES (1), (2), (NULL), (3)) AS t(x)",
        "2",
        "",
    ),
    entry(
        AGGREGATES,
        "max_by(value, key)",
        "SELECT max_by(s, x) FROM (VALUES ('a', 1), ('b', 3), ('c', 3), ('d', NULL)) AS t(s, x)",
        "b",
        "The first of equal keys.",
    ),
    entry(
        AGGREGATES,
        "min_by(value, key)",
        "SELECT min_by(s, x) FROM (VALUES ('a', 2), (NULL, 1), ('c', 3)) AS t(s, x)",
        "NULL",
        "The value may be null, the key may not.",
    ),
    entry(
        AGGREGATES,
        "arbitrary(x), any_value(x)",
        "SELECT arbitrary(x) FROM (VALUES (NULL), (7)) AS t(x)",
        "7",
        "The first that is not null.",
    ),
    entry(AGGREGATES, "approx_distinct(x)", "SELECT approx_distinct(x) FROM (VALUES (1), (2), (2)) AS t(x)", "2", ""),
    entry(
        AGGREGATES,
        "approx_percentile(x, p)",
        "SELECT approx_percentile(x, 0.5) FROM (VALUES (1.0), (2.0), (3.0)) AS t(x)",
        "2.0",
        "A double; p is one number between 0 and 1.",
    ),
    entry(
        AGGREGATES,
        "stddev, stddev_samp, stddev_pop, variance, var_samp, var_pop",
        "SELECT stddev_pop(x) FROM (VALUES (1), (3)) AS t(x)",
        "1.0",
        "",
    ),
    entry(
        AGGREGATES,
        "skewness(x)",
        "SELECT round(skewness(x), 6) FROM (VALUES (1), (2), (6)) AS t(x)",
        "0.59517",
        "Of the population; null below 3 values.",
    ),
    entry(
        AGGREGATES,
        "kurtosis(x)",
        "SELECT round(kurtosis(x), 6) FROM (VALUES (1), (2), (3), (10)) AS t(x)",
        "3.228",
        "Of the sample, in excess of 3; null below 4 values.",
    ),
    entry(
        AGGREGATES,
        "geometric_mean(x)",
        "SELECT round(geometric_mean(x), 9) FROM (VALUES (1), (4)) AS t(x)",
        "2.0",
        "",
    ),
    entry(
        AGGREGATES,
        "corr, covar_samp, covar_pop, regr_slope, regr_intercept, regr_r2",
        "SELECT corr(x, 2 * x) FROM (VALUES (1), (2), (4)) AS t(x)",
        "1.0",
        "",
    ),
    entry(AGGREGATES, "bool_and, bool_or, every", "SELECT every(x > 0) FROM (VALUES (1), (2)) AS t(x)", "true", ""),
    entry(
        AGGREGATES,
        "array_agg(x [ORDER BY y])",
        "SELECT array_agg(x ORDER BY x DESC) FROM (VALUES (1), (2)) AS t(x)",
        "[2, 1]",
        "",
    ),
    entry(
        WINDOWS,
        "row_number, rank, dense_rank, percent_rank, cume_dist, ntile",
        "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY x) AS r FROM (VALUES (5), (6)) AS t(x))",
        "2",
        "",
    ),
    entry(
        WINDOWS,
        "lag, lead, first_value, last_value, nth_value",
        "SELECT max(d) FROM (SELECT x - lag(x) OVER (ORDER BY x) AS d FROM (VALUES (5), (8)) AS t(x))",
        "3",
        "IGNORE NULLS too.",
    ),
    entry(
        WINDOWS,
        "aggregate OVER (... ROWS | RANGE ...)",
        "SELECT max(a) FROM (SELECT avg(x) OVER (ORDER BY x ROWS 1 PRECEDING) AS a FROM (VALUES (1), (3), (5)) AS t(x))",
        "4.0",
        "Every aggregate above.",
    ),
];

/// The list as Markdown tables, one per group.
pub fn markdown() -> String {
    let mut out = String::new();
    let mut group = "";
    for entry in REFERENCE {
        if entry.group != group {
            group = entry.group;
            // Writing to a String cannot fail.
            let _ = write!(out, "\n### {group}\n\n| Function | Example | Gives | Note |\n|---|---|---|---|\n");
        }
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | `{}` | `{}` | {} |",
            cell(entry.syntax),
            cell(entry.example),
            cell(entry.result),
            cell(entry.note)
        );
    }
    out
}
