-- Orders that a strategy placed, and those that a limit stopped, by the session that decided them.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.orders (
  `dt` date,
  `strategy` string,
  `order_id` string,
  `sym` string,
  `side` string,
  `quantity` decimal(18,6),
  `kind` string,
  `limit_price` decimal(18,9),
  `stop_price` decimal(18,9),
  `time_in_force` string,
  `state` string,
  `reason` string,
  `run_id` string
)
STORED AS PARQUET
LOCATION '{lake}/orders/'
