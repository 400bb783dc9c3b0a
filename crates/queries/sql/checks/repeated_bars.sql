-- repeated_bars: the four prices are those of the session before.
SELECT today.sym AS sym, today.close AS close, before.vol AS vol_before, today.vol AS vol
FROM hist_data_daily AS today
JOIN hist_data_daily AS before ON before.sym = today.sym
WHERE today.dt = ?
  AND before.dt = (SELECT max(dt) FROM hist_data_daily WHERE dt < ?)
  AND today.open = before.open AND today.high = before.high
  AND today.low = before.low AND today.close = before.close
ORDER BY today.sym
