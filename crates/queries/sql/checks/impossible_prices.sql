-- impossible_prices: a price is not positive, or open or close lie outside low and high.
SELECT dt, sym, open, high, low, close
FROM hist_data_daily
WHERE dt = ?
  AND (low <= 0 OR high < low OR open < low OR open > high OR close < low OR close > high)
ORDER BY sym
