-- impossible_prices: a price is absent or not positive, or open or close lie outside low and high.
SELECT dt, sym, open, high, low, close
FROM hist_data_daily
WHERE dt = ?
  AND NOT coalesce(low > 0 AND open BETWEEN low AND high AND close BETWEEN low AND high, false)
ORDER BY sym
