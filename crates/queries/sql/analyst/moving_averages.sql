-- moving_averages: the close, split-adjusted, with its means over 50 and 200 sessions and which of them is higher.
WITH averages AS (
  SELECT
    sym, dt, close,
    avg(close) OVER (PARTITION BY sym ORDER BY dt ROWS BETWEEN 49 PRECEDING AND CURRENT ROW) AS mean_50,
    avg(close) OVER (PARTITION BY sym ORDER BY dt ROWS BETWEEN 199 PRECEDING AND CURRENT ROW) AS mean_200,
    row_number() OVER (PARTITION BY sym ORDER BY dt) AS place
  FROM hist_data_daily_split_adjusted
)
SELECT sym, dt, close, mean_50, mean_200, CASE WHEN mean_50 > mean_200 THEN 'above' ELSE 'below' END AS fast_is
FROM averages
WHERE place >= 200
ORDER BY sym, dt
