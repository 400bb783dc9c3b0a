-- latest_bars: the last bar of every symbol.
SELECT sym, max(dt) AS dt, max_by(close, dt) AS close, max_by(vol, dt) AS vol
FROM hist_data_daily
GROUP BY sym
ORDER BY sym
