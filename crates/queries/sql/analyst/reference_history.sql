-- reference_history: the query of the reference architecture's notebook and dashboard, word for word.
SELECT cast(date_parse(dt,'%Y-%m-%d') as date) as day, sym, open, close, high, low, vol FROM algo_data.hist_data_daily limit 1000
