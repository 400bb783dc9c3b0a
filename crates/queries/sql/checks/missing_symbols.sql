-- missing_symbols: the symbol had a bar in the session before and has none now, and was not delisted.
SELECT before.sym AS sym, before.dt AS last_bar
FROM hist_data_daily AS before
WHERE before.dt = (SELECT max(dt) FROM hist_data_daily WHERE dt < ?)
  AND before.sym NOT IN (SELECT sym FROM hist_data_daily WHERE dt = ?)
  AND before.sym NOT IN (
    SELECT sym FROM corporate_actions WHERE kind = 'delisting' AND ex_date <= cast(? AS date)
  )
ORDER BY before.sym
