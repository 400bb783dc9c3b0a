-- hist_data_daily: the latest known bar of every (sym, dt), raw prices.
-- `bars_daily` keeps every version a vendor sent; the one known last is current.
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
) AS versions
WHERE version = 1
