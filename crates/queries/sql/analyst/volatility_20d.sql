-- volatility_20d: standard deviation of 20 daily log returns, by the year, for every symbol and day.
WITH returns AS (
  SELECT
    sym, dt,
    ln(close / lag(close) OVER (PARTITION BY sym ORDER BY dt)) AS log_return,
    row_number() OVER (PARTITION BY sym ORDER BY dt) AS place
  FROM hist_data_daily_adjusted
),
windows AS (
  SELECT
    sym, dt, place,
    stddev_samp(log_return) OVER (PARTITION BY sym ORDER BY dt ROWS BETWEEN 19 PRECEDING AND CURRENT ROW) AS deviation
  FROM returns
)
SELECT sym, dt, deviation * sqrt(252e0) AS volatility
FROM windows
WHERE place > 20
ORDER BY sym, dt
