-- late_bars: the bar was first known later than the evening of the day after its session; no run decides on it.
SELECT sym, date_format(min(known_at), '%Y-%m-%d %H:%i') AS first_known
FROM bars_daily
WHERE dt = cast(? AS date)
GROUP BY sym
HAVING min(known_at) >= cast(date_add('day', 2, cast(? AS date)) AS timestamp)
ORDER BY sym
