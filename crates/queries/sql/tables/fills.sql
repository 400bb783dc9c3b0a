-- Executions; quantities are signed.
CREATE EXTERNAL TABLE IF NOT EXISTS algo_data.fills (
  `dt` date,
  `strategy` string,
  `order_id` string,
  `sym` string,
  `quantity` decimal(18,6),
  `price` decimal(18,9),
  `fee` decimal(18,6),
  `run_id` string
)
STORED AS PARQUET
LOCATION '{lake}/fills/'
