-- The account of a strategy at the close of a session.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.equity (
  `dt` date,
  `strategy` string,
  `cash` decimal(18,6),
  `net` decimal(18,6),
  `gross` decimal(18,6),
  `equity` decimal(18,6),
  `return_1d` double,
  `drawdown` double,
  `run_id` string
)
STORED AS PARQUET
LOCATION '{lake}/equity/'
