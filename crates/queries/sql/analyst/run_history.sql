-- run_history: which run said what a strategy did, and how much that was.
SELECT strategy, cast(dt AS varchar) AS dt, run_id, control, orders, refused, fills
FROM runs
ORDER BY strategy, dt
