-- hist_data_daily_split_adjusted_as_of: what hist_data_daily_split_adjusted would have said at a given moment, from nothing but the rows known by then.
-- The moment is UTC, ISO 8601. On Athena a prepared statement: every parameter is the same moment. Apart from
-- the lines with a parameter this is the text of the view.
WITH bars AS (
  SELECT
    dt, sym, open, high, low, close, vol,
    row_number() OVER (PARTITION BY sym, dt ORDER BY known_at DESC NULLS LAST, source DESC NULLS LAST) AS version
  FROM bars_daily
  WHERE known_at <= from_iso8601_timestamp(?)
),
actions AS (
  SELECT
    ex_date, sym, kind, value,
    rank() OVER (PARTITION BY sym, ex_date, kind ORDER BY known_at DESC NULLS LAST) AS version
  FROM corporate_actions
  WHERE known_at <= from_iso8601_timestamp(?)
),
timeline AS (
  SELECT
    sym, dt, 1 AS is_bar,
    cast(open AS double) AS open,
    cast(high AS double) AS high,
    cast(low AS double) AS low,
    cast(close AS double) AS close,
    vol,
    0e0 AS split_log,
    0e0 AS dividend
  FROM bars
  WHERE version = 1
  UNION ALL
  SELECT
    sym, ex_date, 0,
    cast(NULL AS double), cast(NULL AS double), cast(NULL AS double), cast(NULL AS double),
    cast(NULL AS bigint),
    CASE WHEN kind = 'split' THEN ln(cast(value AS double)) ELSE 0e0 END,
    CASE WHEN kind = 'dividend' THEN cast(value AS double) ELSE 0e0 END
  FROM actions
  WHERE version = 1 AND value > 0 AND kind IN ('split', 'dividend')
),
dated AS (
  SELECT
    sym, open, high, low, close, vol, split_log, dividend,
    min(CASE WHEN is_bar = 1 THEN dt END) OVER (
      PARTITION BY sym ORDER BY dt DESC, is_bar DESC
      ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    ) AS dt
  FROM timeline
),
steps AS (
  SELECT
    sym, dt,
    max(open) AS open,
    max(high) AS high,
    max(low) AS low,
    max(close) AS close,
    max(vol) AS vol,
    sum(split_log) AS split_log,
    sum(split_log) + ln(1e0 + sum(dividend) / max(close)) AS total_log
  FROM dated
  WHERE dt IS NOT NULL
  GROUP BY sym, dt
),
later AS (
  SELECT
    sym, dt, open, high, low, close, vol,
    coalesce(sum(split_log) OVER (
      PARTITION BY sym ORDER BY dt DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0e0) AS split_log,
    coalesce(sum(total_log) OVER (
      PARTITION BY sym ORDER BY dt DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0e0) AS total_log
  FROM steps
)
SELECT
  cast(dt AS varchar) AS dt,
  sym,
  round(open / exp(split_log), 10) AS open,
  round(high / exp(split_log), 10) AS high,
  round(low / exp(split_log), 10) AS low,
  round(close / exp(split_log), 10) AS close,
  cast(round(vol * exp(split_log)) AS bigint) AS vol
FROM later
