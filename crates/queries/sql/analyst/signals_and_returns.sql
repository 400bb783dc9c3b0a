-- signals_and_returns: what a model said, and what the symbol did from the next close to the one after it.
WITH returns AS (
  SELECT
    sym, dt,
    lead(close, 2) OVER (PARTITION BY sym ORDER BY dt) / lead(close, 1) OVER (PARTITION BY sym ORDER BY dt) - 1e0
      AS next_return
  FROM hist_data_daily_adjusted
)
SELECT signals.model AS model, returns.dt AS dt, returns.sym AS sym, signals.value AS value, returns.next_return AS next_return
FROM signals
JOIN returns ON returns.sym = signals.sym AND returns.dt = cast(signals.dt AS varchar)
ORDER BY model, dt, sym
