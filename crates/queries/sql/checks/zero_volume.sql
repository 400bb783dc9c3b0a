-- zero_volume: nothing was traded, so nobody could have bought or sold at these prices.
SELECT dt, sym, close
FROM hist_data_daily
WHERE dt = ? AND vol = 0
ORDER BY sym
