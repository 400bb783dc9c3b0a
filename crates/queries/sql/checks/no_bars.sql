-- no_bars: the session has no bar at all.
SELECT 'bars_daily' AS what, ? AS dt
WHERE NOT EXISTS (SELECT 1 FROM hist_data_daily WHERE dt = ?)
