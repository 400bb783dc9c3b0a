-- reference_preview: the query of the reference architecture's first look at the data, word for word.
SELECT * FROM "algo_data"."hist_data_daily" limit 10
