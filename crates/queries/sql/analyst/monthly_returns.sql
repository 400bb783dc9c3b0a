-- monthly_returns: total return of every symbol by month, as a fraction.
WITH closes AS (
  SELECT sym, substr(dt, 1, 7) AS month, max_by(close, dt) AS close
  FROM hist_data_daily_adjusted
  GROUP BY sym, substr(dt, 1, 7)
)
SELECT sym, month, close / lag(close) OVER (PARTITION BY sym ORDER BY month) - 1e0 AS total_return
FROM closes
ORDER BY sym, month
