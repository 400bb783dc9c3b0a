-- hist_data_daily_as_of: what hist_data_daily would have said at a given moment, from nothing but the rows known by then.
-- The moment is UTC, ISO 8601. On Athena a prepared statement: every parameter is the same moment. Apart from
-- the lines with a parameter this is the text of the view.
SELECT
  cast(dt AS varchar) AS dt,
  sym,
  cast(open AS double) AS open,
  cast(high AS double) AS high,
  cast(low AS double) AS low,
  cast(close AS double) AS close,
  vol
FROM (
  SELECT
    dt, sym, open, high, low, close, vol,
    row_number() OVER (PARTITION BY sym, dt ORDER BY known_at DESC NULLS LAST, source DESC NULLS LAST) AS version
  FROM bars_daily
  WHERE known_at <= from_iso8601_timestamp(?)
) AS versions
WHERE version = 1
