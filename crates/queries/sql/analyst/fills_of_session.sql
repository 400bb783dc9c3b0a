-- fills_of_session: what was bought and sold in a session, and what it cost.
SELECT
  strategy, sym, order_id,
  cast(quantity AS double) AS quantity,
  cast(price AS double) AS price,
  cast(fee AS double) AS fee
FROM fills
WHERE dt = cast(? AS date)
ORDER BY strategy, sym, order_id
