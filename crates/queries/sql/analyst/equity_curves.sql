-- equity_curves: the account of every strategy, session by session.
SELECT strategy, cast(dt AS varchar) AS dt, cast(equity AS double) AS equity, return_1d, drawdown
FROM equity
ORDER BY strategy, dt
