-- corrected_bars: bars of the last 30 days whose values were changed since the session.
SELECT cast(dt AS varchar) AS dt, sym, count(*) AS versions
FROM bars_daily
WHERE dt >= date_add('day', -30, cast(? AS date)) AND dt < cast(? AS date)
GROUP BY dt, sym
HAVING count(*) > 1 AND max(known_at) >= cast(cast(? AS date) AS timestamp)
ORDER BY dt, sym
