-- unexplained_jumps: the close moved by more than 40 % against the session before, and no split is known for the days since then.
SELECT today.sym AS sym, before.close AS close_before, today.close AS close
FROM hist_data_daily AS today
JOIN hist_data_daily AS before ON before.sym = today.sym
WHERE today.dt = ?
  AND before.dt = (SELECT max(dt) FROM hist_data_daily WHERE dt < ?)
  AND abs(today.close / before.close - 1e0) > 4e-1
  AND today.sym NOT IN (
    SELECT sym FROM corporate_actions
    WHERE kind = 'split' AND ex_date <= cast(? AS date)
      AND ex_date > (SELECT max(dt) FROM bars_daily WHERE dt < cast(? AS date))
  )
ORDER BY today.sym
